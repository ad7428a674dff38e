/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "sys/caps.h"
#include "sys/file.h"
#include "sys/userns_internal.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Images use any of 16 bits; one more than the granted ones is the user's own. */
#define IDS_WANTED 65535

void userns_check_fini(struct userns_check *c)
{
	mem_freep(&c->detail);
	mem_freep(&c->fix);
}

bool userns_tool_found(const char *name)
{
	const char *path = getenv("PATH");
	struct str rest = str_c(path ? path : "/usr/bin:/bin"), dir;
	while (str_split(&rest, ':', &dir)) {
		AUTO_FREE char *full = mem_printf(STR_FMT "/%s", STR_ARG(dir), name);
		if (access(full, X_OK) == 0)
			return true;
	}
	return false;
}

static void add(struct vec *out, const char *name, bool fatal, char *detail, char *fix)
{
	struct userns_check *c = vec_push(out);
	*c = (struct userns_check){.name = name, .detail = detail, .fix = fix, .fatal = fatal && fix};
}

/* -1: there is no such setting. */
static long setting(const char *path)
{
	AUTO_BUF struct buf text = {0};
	struct err *e = file_read(AT_FDCWD, path, 64, &text);
	if (e) {
		err_ignore(e, "not on this kernel");
		return -1;
	}
	int64_t v = -1;
	return str_to_i64(str_trim(buf_str(&text)), &v) ? (long)v : -1;
}

static void check_kernel(struct vec *out, bool rootless)
{
	struct utsname u;
	int major = 0, minor = 0;
	if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		return;
	/* mount_setattr and close_range flags: 5.12; overlay in a user namespace: 5.11 */
	bool fine = major > 5 || (major == 5 && minor >= 12);
	bool many = major > 6 || (major == 6 && minor >= 5);
	add(out, "kernel", true,
		mem_printf("Linux %s%s", u.release, many ? "" : ": at most about 100 layers in one image"),
		fine ? NULL
		     : mem_printf(
			       "Linux 5.12 or newer is needed%s", rootless ? " to build without root" : ""));
}

static void check_switches(struct vec *out)
{
	static const struct {
		const char *name, *path, *fix;
		long bad;
	} switches[] = {
		{"user.max_user_namespaces", "/proc/sys/user/max_user_namespaces",
			"sysctl -w user.max_user_namespaces=65536", 0},
		{"kernel.unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone",
			"sysctl -w kernel.unprivileged_userns_clone=1", 0},
		{"kernel.apparmor_restrict_unprivileged_userns",
			"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
			"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0", 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		long v = setting(switches[i].path);
		if (v < 0)
			continue;
		add(out, switches[i].name, true, mem_printf("%s = %ld", switches[i].name, v),
			v == switches[i].bad ? mem_strdup(switches[i].fix) : NULL);
	}
}

char *userns_grant_command(uid_t uid)
{
	struct passwd *pw = getpwuid(uid);
	return mem_printf("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s",
		pw ? pw->pw_name : "USER");
}

static void check_ids(struct vec *out, uid_t uid)
{
	bool tools = userns_tool_found("newuidmap") && userns_tool_found("newgidmap");
	add(out, "newuidmap", false,
		mem_strdup(tools ? "newuidmap and newgidmap are installed" : "newuidmap is missing"),
		tools ? NULL : mem_strdup("apt install uidmap"));
	static const char *const files[] = {"/etc/subuid", "/etc/subgid"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct vec ranges = VEC_OF(struct id_range);
		userns_granted(files[i], uid, &ranges);
		uint64_t total = 0;
		for (size_t k = 0; k < ranges.len; k++)
			total += ((struct id_range *)vec_at(&ranges, k))->count;
		vec_fini(&ranges);
		add(out, i ? "subgid" : "subuid", false,
			mem_printf("%s grants %llu ids", files[i], (unsigned long long)total),
			total < IDS_WANTED ? userns_grant_command(uid) : NULL);
	}
}

/* As root of a user namespace, be it one that was entered for uid. */
static void check_namespace(struct vec *out)
{
	uint64_t ids = userns_id_count();
	bool enough = ids >= IDS_WANTED;
	add(out, "privilege", false,
		mem_printf("root of a user namespace of %llu id%s: %s", (unsigned long long)ids,
			ids == 1 ? "" : "s",
			enough ? "steps run in it" : "files of images lose their owners"),
		enough ? NULL : mem_strdup("have more ids granted to the user, or given to the container"));
}

void userns_describe(uid_t uid, struct vec *out)
{
	bool inside = userns_is_rootless(), root = caps_may_mount() && (uid == 0 || inside);
	check_kernel(out, uid != 0 || inside);
	if (root && !inside)
		add(out, "privilege", false, mem_strdup("root: no user namespace is needed"), NULL);
	else if (root)
		check_namespace(out);
	else
		check_switches(out);
	/* Those of a container that is given enough are not this user's to be granted. */
	if (uid != 0 && !(root && userns_id_count() > IDS_WANTED))
		check_ids(out, uid);
}
