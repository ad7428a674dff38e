/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session is a process's use of the store: a lease file locks/lease-<session>, locked (lock_fd) for as long
 * as it lives, and tmp/<session>. The kernel drops the lock however the process ends.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Taken from the disk before it is full, so that reading goes on then: some 200 lines. */
#define LEASE_RESERVE 16384
/* This mode bit of a lease file says that its owner holds everything there is. Unlike a line it needs no
 * room. */
#define HOLDS_ALL S_IXUSR

/* More than any honest process holds: a lease is read whole by gc. */
#define LEASE_FILE_MAX ((size_t)1 << 30)

struct hold {
	int64_t told;
};

const char *lease_line(char kind, const char *name, char out[LEASE_LINE_MAX])
{
	snprintf(out, LEASE_LINE_MAX, "%c %s", kind, name);
	return out;
}

const char *lease_blob(const struct digest *d, char out[LEASE_LINE_MAX])
{
	char text[DIGEST_TEXT_MAX];
	return lease_line('b', digest_text(d, text), out);
}

static void lease_path(const char *session, char out[STORE_PATH_MAX])
{
	snprintf(out, STORE_PATH_MAX, "locks/lease-%s", session);
}

static void reserve_lease(struct store *s, off_t from)
{
	/* Where there is no room or no such call, the mode bit is left. */
	s->lease_size = from;
	s->lease_room = from + LEASE_RESERVE;
	if (fallocate(s->lease_fd, FALLOC_FL_KEEP_SIZE, from, LEASE_RESERVE) < 0)
		errno = 0;
}

static struct err *start_session(struct store *s)
{
	if (s->session[0])
		return NULL;
	char name[SESSION_MAX], path[STORE_PATH_MAX], random[17];
	random_hex(random, 8);
	snprintf(name, sizeof(name), "%ld-%lld-%s", (long)getpid(), (long long)(clock_now() / CLOCK_SECOND),
		random);
	lease_path(name, path);
	for (;;) {
		AUTO_FD int fd = -1;
		TRY(file_open(s->fd, path, O_RDWR | O_CREAT | O_APPEND, 0600, &fd));
		if (lock_fd(fd, FD_EXCLUSIVE, true) < 0)
			return err_sys(errno, "locking %s/%s", s->home, path);
		/* Somebody may have taken the not yet locked file for a dead one's. */
		if (!fd_still_named(s->fd, path, fd))
			continue;
		s->lease_fd = steal_fd(&fd);
		memcpy(s->session, name, sizeof(name));
		reserve_lease(s, 0);
		return NULL;
	}
}

static struct err *append_line(struct store *s, const char *line)
{
	char text[LEASE_LINE_MAX + 1];
	size_t len = strlen(line);
	memcpy(text, line, len);
	text[len++] = '\n';
	if (s->lease_size + (off_t)len > s->lease_room)
		reserve_lease(s, s->lease_size);
	struct err *e = fd_write_all(s->lease_fd, text, len, "the lease of this process");
	if (!e)
		s->lease_size += (off_t)len;
	if (err_kind(e) != ERR_NO_SPACE)
		return e;
	err_ignore(e, "held in the other way");
	if (fchmod(s->lease_fd, 0600 | HOLDS_ALL) < 0)
		return err_sys(errno, "holding everything in store %s", s->home);
	return NULL;
}

static struct err *hold_locked(struct store *s, const char *line)
{
	struct hold *h = map_get_c(s->holds, line);
	if (h) {
		h->told = clock_now();
		return NULL;
	}
	TRY(start_session(s));
	TRY(append_line(s, line));
	h = mem_new(struct hold);
	h->told = clock_now();
	map_set_c(s->holds, line, h);
	return NULL;
}

struct err *store_hold(struct store *s, const char *line)
{
	if (s->read_only)
		return NULL;
	pthread_mutex_lock(&s->lease_mu);
	struct err *e = hold_locked(s, line);
	pthread_mutex_unlock(&s->lease_mu);
	return e ? err_wrap(e, "store %s: holding %s", s->home, line + 2) : NULL;
}

bool store_holds(struct store *s, const char *line)
{
	if (s->read_only)
		return true;
	pthread_mutex_lock(&s->lease_mu);
	struct hold *h = map_get_c(s->holds, line);
	if (h)
		h->told = clock_now();
	pthread_mutex_unlock(&s->lease_mu);
	return h != NULL;
}

/* A new file with what is left takes the place of the old one, locked before it has the name. */
static struct err *trim_locked(struct store *s, int64_t before)
{
	if (!s->session[0])
		return NULL;
	char path[STORE_PATH_MAX], fresh[STORE_PATH_MAX + 4];
	lease_path(s->session, path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	AUTO(map_freep) struct map *kept = map_new(free);
	AUTO_BUF struct buf text = {0};
	struct str line;
	void *value;
	for (size_t i = 0; map_next(s->holds, &i, &line, &value);) {
		const struct hold *h = value;
		if (h->told < before)
			continue;
		buf_addstr(&text, line);
		buf_addc(&text, '\n');
		map_set(kept, line, mem_dup(h, sizeof(*h)));
	}
	AUTO_FD int fd = -1;
	TRY(file_open(s->fd, fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600, &fd));
	if (lock_fd(fd, FD_EXCLUSIVE, true) < 0)
		return err_sys(errno, "locking %s/%s", s->home, fresh);
	TRY(fd_write_all(fd, buf_cstr(&text), text.len, fresh));
	if (renameat(s->fd, fresh, s->fd, path) < 0)
		return err_sys(errno, "renaming %s/%s", s->home, fresh);
	int old = s->lease_fd;
	s->lease_fd = steal_fd(&fd);
	close(old);
	reserve_lease(s, (off_t)text.len);
	struct map *was = s->holds;
	s->holds = steal(&kept);
	map_free(was);
	return NULL;
}

struct err *store_lease_trim(struct store *s, int64_t before)
{
	pthread_mutex_lock(&s->lease_mu);
	struct err *e = trim_locked(s, before);
	pthread_mutex_unlock(&s->lease_mu);
	return e;
}

/* Open the lease file at path and say whether its owner lives; a dead one's is removed. *fd is -1 unless
 * alive. */
static struct err *probe_lease(struct store *s, const char *path, bool *alive, int *out)
{
	for (;;) {
		AUTO_FD int fd =
			openat(s->fd, path, (s->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
		*alive = false;
		if (fd < 0)
			return errno == ENOENT ? NULL : err_sys(errno, "opening %s/%s", s->home, path);
		if (lock_fd(fd, s->read_only ? FD_SHARED : FD_EXCLUSIVE, false) == 0) {
			/* A living session replaces its file when it trims it. */
			bool named = fd_still_named(s->fd, path, fd);
			if (named && !s->read_only)
				unlinkat(s->fd, path, 0);
			if (named)
				return NULL;
			continue;
		}
		if (errno != EAGAIN)
			return err_sys(errno, "locking %s/%s", s->home, path);
		*alive = true;
		*out = steal_fd(&fd);
		return NULL;
	}
}

struct err *store_session_alive(struct store *s, const char *session, bool *alive)
{
	char path[STORE_PATH_MAX];
	AUTO_FD int fd = -1;
	lease_path(session, path);
	return probe_lease(s, path, alive, &fd);
}

static void add_lines(struct map *all, struct str text)
{
	struct str line;
	while (str_index(text, '\n') >= 0 && str_split(&text, '\n', &line))
		if (line.len > 2 && !map_has(all, line))
			map_set(all, line, NULL);
}

/* Our own lease may say more than we hold when the disk was full. */
static void add_own(struct store *s, struct map *all)
{
	struct str line;
	void *value;
	pthread_mutex_lock(&s->lease_mu);
	for (size_t i = 0; map_next(s->holds, &i, &line, &value);)
		map_set(all, line, NULL);
	pthread_mutex_unlock(&s->lease_mu);
}

static struct err *add_lease(struct store *s, const char *path, int fd, struct map *all)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(errno, "reading %s/%s", s->home, path);
	if (st.st_mode & HOLDS_ALL)
		map_set_c(all, LEASE_ALL, NULL);
	AUTO_BUF struct buf text = {0};
	TRY(fd_read_all(fd, LEASE_FILE_MAX, path, &text));
	add_lines(all, buf_str(&text));
	return NULL;
}

struct err *store_leases(struct store *s, struct map **out)
{
	AUTO(map_freep) struct map *all = map_new(NULL);
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(s->fd, "locks", &names));
	add_own(s, all);
	for (size_t i = 0; i < names.len; i++) {
		if (!cstr_starts(names.ptr[i], "lease-") || strlen(names.ptr[i]) > SESSION_MAX + 10)
			continue;
		char path[STORE_PATH_MAX];
		snprintf(path, sizeof(path), "locks/%s", names.ptr[i]);
		bool alive = false;
		AUTO_FD int fd = -1;
		TRY(probe_lease(s, path, &alive, &fd));
		if (alive && !cstr_eq(names.ptr[i] + strlen("lease-"), s->session))
			TRY(add_lease(s, path, fd, all));
	}
	*out = steal(&all);
	return NULL;
}

static struct err *make_tmp(struct store *s)
{
	if (s->tmp_fd >= 0)
		return NULL;
	TRY(start_session(s));
	char path[STORE_PATH_MAX];
	snprintf(path, sizeof(path), "tmp/%s", s->session);
	if (mkdirat(s->fd, path, 0700) < 0 && errno != EEXIST)
		return err_sys(errno, "making %s/%s", s->home, path);
	return file_open(s->fd, path, O_RDONLY | O_DIRECTORY, 0, &s->tmp_fd);
}

/* What killed processes left is deleted by whoever next makes something, in the background. */
static struct err *adopt_dead(struct store *s)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(s->fd, "tmp", &names));
	for (size_t i = 0; i < names.len; i++) {
		bool alive = strlen(names.ptr[i]) >= SESSION_MAX;
		if (!alive)
			TRY(store_session_alive(s, names.ptr[i], &alive));
		if (alive)
			continue;
		char from[STORE_PATH_MAX], name[TMP_NAME_MAX];
		snprintf(from, sizeof(from), "tmp/%s", names.ptr[i]);
		if (renameat(s->fd, from, s->tmp_fd, store_tmp_name(s, 'x', name)) == 0)
			store_trash(s, name, true);
	}
	return NULL;
}

struct err *store_tmp(struct store *s, int *fd)
{
	TRY(store_writable(s));
	pthread_mutex_lock(&s->lease_mu);
	bool first = s->tmp_fd < 0;
	struct err *e = make_tmp(s);
	if (!e)
		*fd = s->tmp_fd;
	pthread_mutex_unlock(&s->lease_mu);
	if (!e && first)
		err_ignore(adopt_dead(s), "the next sweep tries again");
	return e;
}

const char *store_tmp_name(struct store *s, char kind, char out[TMP_NAME_MAX])
{
	snprintf(out, TMP_NAME_MAX, "%c%u", kind, atomic_fetch_add(&s->counter, 1));
	return out;
}

void store_session_end(struct store *s)
{
	bool clean = store_reaper_stop(s);
	char path[STORE_PATH_MAX];
	if (s->tmp_fd >= 0) {
		snprintf(path, sizeof(path), "tmp/%s", s->session);
		if (clean && unlinkat(s->fd, path, AT_REMOVEDIR) < 0)
			err_ignore(tree_remove(s->fd, path), "the next sweep tries again");
		close(s->tmp_fd);
		s->tmp_fd = -1;
	}
	if (s->session[0]) {
		lease_path(s->session, path);
		unlinkat(s->fd, path, 0);
		/* A child that has not executed anything yet shares the descriptor: closing alone would not
		 * release. */
		unlock_fd(s->lease_fd);
		close(s->lease_fd);
		s->lease_fd = -1;
		s->session[0] = '\0';
	}
}
