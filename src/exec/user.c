/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/user.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "sys/file.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define DATABASE_MAX (16u << 20)
#define GROUPS_MAX 65536

void image_user_fini(struct image_user *u)
{
	mem_freep(&u->groups);
	mem_freep(&u->home);
	*u = (struct image_user){0};
}

/* A missing file is an empty one. */
static struct err *read_database(int rootfd, const char *path, struct buf *out)
{
	AUTO_FD int fd = -1;
	/* A fifo there must not block us. */
	struct err *e = root_open(rootfd, path, O_RDONLY | O_NONBLOCK, 0, &fd);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_ignore(e, "an image without users");
		return NULL;
	}
	TRY(e);
	return fd_read_all(fd, DATABASE_MAX, path, out);
}

static bool id_number(struct str s, uint32_t *out)
{
	uint64_t v = 0;
	if (!str_to_u64(s, &v) || v >= UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* The fields of a line "a:b:c:..."; missing ones are empty. */
static void split_fields(struct str line, struct str *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fields[i] = (struct str){0};
		str_split(&line, ':', &fields[i]);
	}
}

enum { PW_NAME, PW_PASSWORD, PW_UID, PW_GID, PW_TEXT, PW_HOME, PW_FIELDS };
enum { GR_NAME, GR_PASSWORD, GR_GID, GR_MEMBERS, GR_FIELDS };

/* The entry named who, else the one with that number. */
static bool find_entry(struct str text, struct str who, size_t id_field, size_t count, struct str *fields)
{
	uint32_t number = 0;
	bool numeric = id_number(who, &number), found = false;
	struct str line;
	while (str_split(&text, '\n', &line)) {
		struct str f[PW_FIELDS];
		split_fields(str_trim(line), f, count);
		uint32_t id = 0;
		bool named = f[0].len && str_eq(f[0], who);
		if (!named &&
			(found || !numeric || !f[0].len || !id_number(f[id_field], &id) || id != number))
			continue;
		for (size_t i = 0; i < count; i++)
			fields[i] = f[i];
		found = true;
		if (named)
			break;
	}
	return found;
}

static void add_group(struct image_user *u, uint32_t gid)
{
	for (size_t i = 0; i < u->group_count; i++) {
		if (u->groups[i] == gid)
			return;
	}
	if (u->group_count == GROUPS_MAX)
		return;
	u->groups = mem_realloc(u->groups, u->group_count + 1, sizeof *u->groups);
	u->groups[u->group_count++] = gid;
}

static bool is_member(struct str members, struct str name)
{
	struct str m;
	while (str_split(&members, ',', &m)) {
		if (str_eq(str_trim(m), name))
			return true;
	}
	return false;
}

static void add_memberships(struct image_user *u, struct str text, struct str name)
{
	struct str line;
	while (name.len && str_split(&text, '\n', &line)) {
		struct str f[GR_FIELDS];
		split_fields(str_trim(line), f, GR_FIELDS);
		uint32_t gid = 0;
		if (f[GR_NAME].len && id_number(f[GR_GID], &gid) && is_member(f[GR_MEMBERS], name))
			add_group(u, gid);
	}
}

static struct err *unknown(const char *what, struct str who, const char *file)
{
	return err_hint(
		err_new(ERR_NOT_FOUND, "%s " STR_FMT " is not in the image's %s", what, STR_ARG(who), file),
		"create it in an earlier step, or use its number");
}

static struct err *lookup_group(struct str database, struct str group, uint32_t *gid)
{
	struct str f[GR_FIELDS];
	if (find_entry(database, group, GR_GID, GR_FIELDS, f) && id_number(f[GR_GID], gid))
		return NULL;
	return id_number(group, gid) ? NULL : unknown("group", group, "/etc/group");
}

struct err *image_user_find(struct str passwd, struct str group, const char *spec, struct image_user *out)
{
	struct str rest = str_c(spec && *spec ? spec : "0"), who = {0};
	str_split(&rest, ':', &who);
	AUTO(image_user_fini) struct image_user u = {0};
	struct str f[PW_FIELDS] = {0};
	if (!find_entry(passwd, who, PW_UID, PW_FIELDS, f) || !id_number(f[PW_UID], &u.uid)) {
		if (!id_number(who, &u.uid))
			return unknown("user", who, "/etc/passwd");
		f[PW_NAME] = (struct str){0};
	}
	if (!id_number(f[PW_GID], &u.gid))
		u.gid = 0;
	u.home = f[PW_HOME].len ? mem_strndup(f[PW_HOME].ptr, f[PW_HOME].len) : mem_strdup("/");
	if (rest.len)
		TRY(lookup_group(group, rest, &u.gid));
	add_group(&u, u.gid);
	if (!rest.len)
		add_memberships(&u, group, f[PW_NAME]);
	*out = u;
	u = (struct image_user){0};
	return NULL;
}

struct err *image_user_lookup(int rootfd, const char *spec, struct image_user *out)
{
	AUTO_BUF struct buf passwd = {0};
	AUTO_BUF struct buf group = {0};
	TRY(read_database(rootfd, "/etc/passwd", &passwd));
	TRY(read_database(rootfd, "/etc/group", &group));
	return image_user_find(buf_str(&passwd), buf_str(&group), spec, out);
}

struct err *image_owner_lookup(int rootfd, const char *spec, uint32_t *uid, uint32_t *gid)
{
	AUTO(image_user_fini) struct image_user u = {0};
	bool own_group = cstr_ends(spec, ":=");
	AUTO_FREE char *user = mem_strndup(spec, strlen(spec) - (own_group ? 2 : 0));
	bool number = user[strspn(user, "0123456789")] == '\0';
	AUTO_FREE char *full = number ? mem_printf("%s:%s", user, user) : NULL;

	TRY(image_user_lookup(rootfd, full ? full : user, &u));
	*uid = u.uid;
	*gid = own_group ? u.uid : u.gid;
	return NULL;
}
