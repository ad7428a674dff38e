/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/userns.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "sys/caps.h"
#include "sys/file.h"
#include "sys/process.h"
#include "sys/userns_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUBID_FILE_MAX (1 << 20)
#define MAP_FILE_MAX 65536
/* The inode of /proc/self/ns/user in the namespace that the machine started with: PROC_USER_INIT_INO of the
 * kernel. */
#define FIRST_USER_NAMESPACE 0xEFFFFFFDu

void subid_ranges(struct str text, const char *name, uint32_t uid, struct vec *out)
{
	struct str line;
	while (str_split(&text, '\n', &line)) {
		struct str rest = str_trim(line), who, start, count;
		uint64_t first = 0, n = 0, number = 0;
		if (!str_split(&rest, ':', &who) || !str_split(&rest, ':', &start) ||
			!str_split(&rest, ':', &count))
			continue;
		bool ours = (name && str_eq_c(who, name)) || (str_to_u64(who, &number) && number == uid);
		if (!ours || !str_to_u64(start, &first) || !str_to_u64(count, &n) || n == 0 || first == 0 ||
			first + n > UINT32_MAX)
			continue;
		struct id_range r = {.start = (uint32_t)first, .count = (uint32_t)n};
		vec_push_copy(out, &r);
	}
}

void userns_granted(const char *file, uid_t uid, struct vec *out)
{
	AUTO_BUF struct buf text = {0};
	err_ignore(file_read(AT_FDCWD, file, SUBID_FILE_MAX, &text), "no file, no ids");
	struct passwd *pw = getpwuid(uid);
	subid_ranges(buf_str(&text), pw ? pw->pw_name : NULL, uid, out);
}

/* ---- what the map says ---- */

static struct {
	bool rootless;
	uint64_t ids;
	uid_t outer;
} known;

/* "inside outside count" */
static bool map_line(struct str line, uint64_t v[3])
{
	size_t n = 0;
	struct str fields = str_trim(line), f;
	while (n < 3 && str_split(&fields, ' ', &f)) {
		if (f.len && str_to_u64(f, &v[n]))
			n++;
	}
	return n == 3;
}

/* What own is outside, by the map in file; *ids: how many are mapped. */
static uint32_t outer_id(const char *file, uint32_t own, uint64_t *ids)
{
	AUTO_BUF struct buf text = {0};
	err_ignore(file_read(AT_FDCWD, file, MAP_FILE_MAX, &text), "kernels without user namespaces");
	struct str rest = buf_str(&text), line;
	uint32_t outer = own;
	*ids = 0;
	while (str_split(&rest, '\n', &line)) {
		uint64_t v[3];
		if (!map_line(line, v))
			continue;
		*ids += v[2];
		if (own >= v[0] && own - v[0] < v[2])
			outer = (uint32_t)(v[1] + (own - v[0]));
	}
	return outer;
}

static void read_map(void)
{
	struct stat st;
	known.outer = outer_id("/proc/self/uid_map", getuid(), &known.ids);
	known.rootless = stat("/proc/self/ns/user", &st) == 0 && st.st_ino != FIRST_USER_NAMESPACE;
}

static pthread_once_t map_once = PTHREAD_ONCE_INIT;

bool userns_is_rootless(void)
{
	pthread_once(&map_once, read_map);
	return known.rootless;
}

bool userns_one_id(void)
{
	pthread_once(&map_once, read_map);
	return known.rootless && known.ids == 1;
}

uint64_t userns_id_count(void)
{
	pthread_once(&map_once, read_map);
	return known.ids;
}

uid_t userns_outer_uid(void)
{
	pthread_once(&map_once, read_map);
	return known.outer;
}

/* Seldom asked for, and not worth a file at every start. */
gid_t userns_outer_gid(void)
{
	uint64_t count;
	return outer_id("/proc/self/gid_map", getgid(), &count);
}

/* ---- entering ---- */

static struct err *write_file(const char *path, const char *text)
{
	AUTO_FD int fd = -1;
	TRY(file_open(AT_FDCWD, path, O_WRONLY, 0, &fd));
	return fd_write_all(fd, text, strlen(text), path);
}

static struct err *run_map_tool(const char *tool, pid_t pid, uint32_t own, const struct vec *ranges)
{
	AUTO_STRVEC struct strvec argv = {0};
	strvec_push(&argv, tool);
	strvec_pushf(&argv, "%d", (int)pid);
	strvec_push(&argv, "0");
	strvec_pushf(&argv, "%u", own);
	strvec_push(&argv, "1");
	uint64_t inside = 1;
	for (size_t i = 0; i < ranges->len; i++) {
		const struct id_range *r = vec_at(ranges, i);
		strvec_pushf(&argv, "%llu", (unsigned long long)inside);
		strvec_pushf(&argv, "%u", r->start);
		strvec_pushf(&argv, "%u", r->count);
		inside += r->count;
	}
	struct process_request rq = {.argv = strvec_list(&argv)};
	AUTO_BUF struct buf out = {0};
	AUTO_BUF struct buf errout = {0};
	return process_run(&rq, &out, &errout);
}

/* All ids that there are here, each as itself: what a container's root without the right to mount may give
 * itself. */
static struct err *copy_map(const char *kind, pid_t pid)
{
	AUTO_FREE char *from = mem_printf("/proc/self/%s_map", kind);
	AUTO_FREE char *to = mem_printf("/proc/%d/%s_map", (int)pid, kind);
	AUTO_BUF struct buf text = {0};
	AUTO_BUF struct buf map = {0};
	TRY(file_read(AT_FDCWD, from, MAP_FILE_MAX, &text));
	struct str rest = buf_str(&text), line;
	uint64_t v[3];
	while (str_split(&rest, '\n', &line)) {
		if (map_line(line, v))
			buf_addf(&map, "%llu %llu %llu\n", (unsigned long long)v[0], (unsigned long long)v[0],
				(unsigned long long)v[2]);
	}
	return write_file(to, buf_cstr(&map));
}

struct id_source {
	struct vec uids, gids; /* granted ranges */
	bool own;              /* root's: the ids that there are */
};

static struct err *set_maps(pid_t pid, const struct id_source *ids)
{
	if (ids->own) {
		TRY(copy_map("uid", pid));
		return copy_map("gid", pid);
	}
	TRY(run_map_tool("newuidmap", pid, geteuid(), &ids->uids));
	return run_map_tool("newgidmap", pid, getegid(), &ids->gids);
}

/* The helper stays outside: it may set the map of a process that went inside. Tells what went wrong on fd. */
static void helper_main(int go, int tell, pid_t pid, const struct id_source *ids)
{
	char c;
	if (read(go, &c, 1) != 1)
		_exit(0);
	struct err *e = set_maps(pid, ids);
	if (e) {
		AUTO_FREE char *text = err_text(e);
		err_ignore(fd_write_all(tell, text, strlen(text), "pipe"), "the parent is gone");
	}
	_exit(0);
}

static struct err *enter_error(int sysno)
{
	struct err *e = err_sys(sysno, "making a user namespace");
	struct vec checks = VEC_OF(struct userns_check);
	userns_describe(geteuid(), &checks);
	for (size_t i = 0; i < checks.len; i++) {
		struct userns_check *c = vec_at(&checks, i);
		if (c->fix && c->fatal)
			e = err_hint(e, "%s: %s", c->detail, c->fix);
		userns_check_fini(c);
	}
	vec_fini(&checks);
	if (!err_hint_text(e))
		e = err_hint(e, "building needs root or user namespaces; in a container, its seccomp profile "
				"must allow "
				"unshare(2) (Kubernetes: seccompProfile Unconfined, or hostUsers: false)");
	return e;
}

static struct err *enter_one_id(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return enter_error(errno);
	AUTO_FREE char *uids = mem_printf("0 %u 1\n", (unsigned)uid);
	AUTO_FREE char *gids = mem_printf("0 %u 1\n", (unsigned)gid);
	struct err *e = write_file("/proc/self/setgroups", "deny");
	if (!e)
		e = write_file("/proc/self/uid_map", uids);
	if (!e)
		e = write_file("/proc/self/gid_map", gids);
	if (!e)
		return NULL;
	return err_hint(err_wrap(e, "mapping the own id into a user namespace"),
		"Ubuntu: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
}

static struct err *enter_mapped(const struct id_source *ids)
{
	int go[2], tell[2];
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(tell, O_CLOEXEC) < 0)
		return err_sys(errno, "making a pipe");
	pid_t self = getpid();
	pid_t helper = fork();
	if (helper < 0)
		return err_sys(errno, "starting a process");
	if (helper == 0) {
		close(go[1]);
		close(tell[0]);
		helper_main(go[0], tell[1], self, ids);
	}
	close(go[0]);
	close(tell[1]);
	int sysno = unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? errno : 0;
	struct err *e = sysno ? enter_error(sysno) : fd_write_all(go[1], "g", 1, "pipe");
	close(go[1]);
	AUTO_BUF struct buf text = {0};
	err_ignore(fd_read_all(tell[0], MAP_FILE_MAX, "pipe", &text), "then there is no message");
	close(tell[0]);
	while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (!e && text.len)
		e = err_hint(err_new(ERR_DENIED, "mapping ids into a user namespace: %s", buf_cstr(&text)),
			"newuidmap and newgidmap must be installed setuid root (Debian: apt install uidmap), "
			"and "
			"/etc/subuid and /etc/subgid must grant the ranges");
	return e;
}

struct err *userns_enter(void)
{
	if (caps_may_mount())
		return NULL;
	struct id_source ids = {
		.uids = VEC_OF(struct id_range), .gids = VEC_OF(struct id_range), .own = caps_may_set_ids()};
	if (!ids.own) {
		userns_granted("/etc/subuid", geteuid(), &ids.uids);
		userns_granted("/etc/subgid", geteuid(), &ids.gids);
	}
	bool granted = ids.uids.len && ids.gids.len && userns_tool_found("newuidmap") &&
		       userns_tool_found("newgidmap");
	struct err *e = granted || ids.own ? enter_mapped(&ids) : enter_one_id();
	vec_fini(&ids.uids);
	vec_fini(&ids.gids);
	TRY(e);
	if (!granted && !ids.own)
		log_info("event=one_id_namespace hint=\"no ranges in /etc/subuid and /etc/subgid, or no "
			 "newuidmap\"");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(errno, "becoming root in the user namespace");
	/* Also if somebody asked before. */
	pthread_once(&map_once, read_map);
	read_map();
	return NULL;
}
