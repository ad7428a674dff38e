/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct err *sweep_tmp(struct store *s)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(s->fd, "tmp", &names));
	struct err *first = NULL;
	for (size_t i = 0; i < names.len; i++) {
		bool alive = strlen(names.ptr[i]) < SESSION_MAX;
		struct err *e = alive ? store_session_alive(s, names.ptr[i], &alive) : NULL;
		if (!e && !alive) {
			AUTO_FREE char *path = mem_printf("tmp/%s", names.ptr[i]);
			e = tree_remove(s->fd, path);
		}
		/* One that resists must not keep the others. */
		first = err_first(first, e);
	}
	return first;
}

static void sweep_lock(struct store *s, const char *path)
{
	AUTO_FD int fd = openat(s->fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || lock_fd(fd, FD_EXCLUSIVE, false) < 0)
		return;
	if (fd_still_named(s->fd, path, fd))
		unlinkat(s->fd, path, 0);
}

static struct err *sweep_locks(struct store *s)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(dir_list(s->fd, "locks", &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("locks/%s", names.ptr[i]);
		bool alive = false;
		if (!cstr_starts(names.ptr[i], "lease-"))
			sweep_lock(s, path);
		else if (strlen(names.ptr[i]) < SESSION_MAX + 6)
			TRY(store_session_alive(s, names.ptr[i] + 6, &alive));
	}
	return NULL;
}

/* ---- trees ---- */

struct known_tree {
	bool used;    /* by a layer */
	bool trusted; /* of this boot, or synced */
};

static struct err *known_trees(struct store *s, struct map *out)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked,
		"SELECT id, EXISTS(SELECT 1 FROM layers WHERE tree = trees.id), synced = 1 OR boot = ?1 FROM "
		"trees",
		&q));
	query_text(&q, 1, store_boot(s));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		struct known_tree *t = mem_new(struct known_tree);
		t->used = column_int(&q, 1) != 0;
		t->trusted = column_int(&q, 2) != 0;
		map_set_c(out, column_text(&q, 0), t);
	}
}

static struct err *forget_unless_used(struct store *s, const char *id, bool even_used, bool *gone)
{
	AUTO_QUERY struct query q = {0};
	bool used = false;
	TRY(query_open(s, "SELECT 1 FROM layers WHERE tree = ?1", &q));
	query_text(&q, 1, id);
	TRY(query_step(&q, &used));
	*gone = even_used || !used;
	return *gone ? store_tree_forget(s, id) : NULL;
}

static struct err *sweep_tree(struct store *s, const char *id, bool even_used)
{
	bool gone = false;
	TRY(store_tx_begin(s));
	TRY(store_tx_end(s, forget_unless_used(s, id, even_used, &gone)));
	if (!gone)
		return NULL;
	int tmp = -1;
	char name[TMP_NAME_MAX];
	AUTO_FREE char *from = mem_printf("trees/%s", id);
	TRY(store_tmp(s, &tmp));
	if (renameat(s->fd, from, tmp, store_tmp_name(s, 'd', name)) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "removing %s/%s", s->home, from);
	return tree_remove(tmp, name);
}

/*
 * The order matters: a tree is held, then renamed into trees/, then recorded, then named by a layer. Rows
 * before names: a row without a directory has lost it. Leases last: who had not held by then has made nothing
 * of what was listed.
 */
static struct err *sweep_trees(struct store *s)
{
	AUTO(map_freep) struct map *known = map_new(free);
	AUTO(map_freep) struct map *leases = NULL, *there = map_new(NULL);
	AUTO_STRVEC struct strvec names = {0};
	TRY(known_trees(s, known));
	TRY(dir_list(s->fd, "trees", &names));
	TRY(store_leases(s, &leases));
	char line[LEASE_LINE_MAX];
	for (size_t i = 0; i < names.len; i++) {
		const struct known_tree *t = map_get_c(known, names.ptr[i]);
		map_set_c(there, names.ptr[i], NULL);
		bool held = store_id_valid(names.ptr[i]) &&
			    map_has(leases, str_c(lease_line('t', names.ptr[i], line)));
		if (t && !t->trusted)
			TRY(sweep_tree(s, names.ptr[i], true));
		else if (!held && (!t || !t->used))
			TRY(sweep_tree(s, names.ptr[i], false));
	}
	struct str id;
	void *value;
	for (size_t i = 0; map_next(known, &i, &id, &value);)
		if (!map_has(there, id))
			TRY(sweep_tree(s, id.ptr, true));
	return NULL;
}

struct err *store_sweep(struct store *s)
{
	TRY(store_writable(s));
	struct err *e = sweep_tmp(s);
	e = err_first(e, sweep_locks(s));
	e = err_first(e, sweep_trees(s));
	TRY(e);
	struct store_lock *lock AUTO(store_unlockp) = NULL;
	TRY(store_try_lock(s, "gc", false, &lock));
	return lock ? gc_finish_doomed(s) : NULL;
}
