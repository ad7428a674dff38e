/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const folders[] = {"blobs", "blobs/sha256", "blobs/sha512", "trees", "volumes", "tmp",
	"locks", "logs", "partial", "quarantine"};

static struct err *make_folders(struct store *s)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (mkdirat(s->fd, folders[i], 0755) < 0 && errno != EEXIST)
			return err_sys(errno, "making %s/%s", s->home, folders[i]);
	return NULL;
}

static struct err *deny(struct err *e)
{
	return err_hint(e, "use a store that this user may write: set COOPER_HOME");
}

static bool open_folder(struct store *s)
{
	s->fd = open(s->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->fd >= 0;
}

static struct err *open_home(struct store *s, bool create)
{
	if (open_folder(s))
		return NULL;
	struct err *e = NULL;
	if (errno == ENOENT && create) {
		e = dir_make_all(AT_FDCWD, s->home, 0700);
		if (!e && open_folder(s))
			return NULL;
	}
	e = e ? err_wrap(e, "making the store %s", s->home) : err_sys(errno, "opening the store %s", s->home);
	return err_kind(e) == ERR_DENIED ? deny(e) : e;
}

static struct err *open_parts(struct store *s, bool create)
{
	TRY(open_home(s, create));
	if (!s->read_only && faccessat(s->fd, ".", W_OK, AT_EACCESS) < 0)
		return deny(err_sys(errno, "writing to the store %s", s->home));
	if (faccessat(s->fd, "cooper.db", F_OK, 0) < 0) {
		if (errno != ENOENT)
			return err_sys(errno, "opening the store %s", s->home);
		if (!create)
			return err_new(ERR_NOT_FOUND, "there is no store at %s", s->home);
		TRY(make_folders(s));
	}
	return store_db_open(s, create);
}

struct err *store_open(const char *home, const struct store_options *opt, struct store **out)
{
	static const struct store_options none;
	if (!opt)
		opt = &none;
	if (!path_is_abs(home))
		return err_new(ERR_INVALID, "the store's place must be an absolute path, not %s", home);
	struct store *s = mem_new(struct store);
	s->home = path_clean(home);
	s->read_only = opt->read_only;
	s->fd = s->lease_fd = s->tmp_fd = -1;
	pthread_mutexattr_t recursive;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&s->mu, &recursive);
	pthread_mutexattr_destroy(&recursive);
	pthread_mutex_init(&s->lease_mu, NULL);
	s->touches = map_new(NULL);
	s->holds = map_new(free);
	store_park_init(s);
	struct err *e = open_parts(s, !opt->read_only && !opt->no_create);
	if (e) {
		store_close(s);
		return e;
	}
	*out = s;
	return NULL;
}

static void flush_last_touches(struct store *s)
{
	if (!s->db || map_len(s->touches) == 0)
		return;
	/* Not worth waiting for: they only order evictions. */
	sqlite3_busy_timeout(s->db, 50);
	struct err *e = store_tx_begin(s);
	if (!e)
		e = store_tx_end(s, NULL);
	err_ignore(e, "use times are a hint");
}

void store_close(struct store *s)
{
	if (!s)
		return;
	flush_last_touches(s);
	store_session_end(s);
	store_db_close(s);
	if (s->fd >= 0)
		close(s->fd);
	map_free(s->touches);
	map_free(s->holds);
	pthread_mutex_destroy(&s->mu);
	pthread_mutex_destroy(&s->lease_mu);
	store_park_fini(s);
	free(s->home);
	free(s);
}

void store_closep(struct store **s)
{
	store_close(*s);
	*s = NULL;
}

const char *store_home(const struct store *s)
{
	return s->home;
}

int store_dirfd(const struct store *s)
{
	return s->fd;
}
