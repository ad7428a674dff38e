/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct store_tree_writer {
	struct store *s;
	int fd; /* of fs */
	char *path;
	char name[TMP_NAME_MAX];
};

bool store_id_valid(const char *id)
{
	size_t len = strlen(id);
	return len > 0 && len < TREE_ID_MAX && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz-") == len;
}

static struct err *read_boot(char out[BOOT_MAX])
{
	AUTO_BUF struct buf text = {0};
	TRY(file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 4096, &text));
	struct str id = str_trim(buf_str(&text));
	snprintf(out, BOOT_MAX, STR_FMT, STR_ARG(id));
	return NULL;
}

const char *store_boot(struct store *s)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	if (!locked->boot[0]) {
		struct err *e = read_boot(s->boot);
		/* A fresh name trusts nothing that was not synced: slow, but right. */
		if (e)
			random_hex(s->boot, 16);
		err_ignore(e, "no /proc");
	}
	return s->boot;
}

void store_set_boot(struct store *s, const char *boot)
{
	snprintf(s->boot, sizeof(s->boot), "%s", boot);
}

static struct err *make_fs(struct store *s, const char *name, int *fd)
{
	char fs[TMP_NAME_MAX + 4];
	snprintf(fs, sizeof(fs), "%s/fs", name);
	if (mkdirat(s->tmp_fd, name, 0700) < 0 || mkdirat(s->tmp_fd, fs, 0755) < 0)
		return err_sys(errno, "making a tree in %s/tmp", s->home);
	TRY(file_open(s->tmp_fd, fs, O_RDONLY | O_DIRECTORY, 0, fd));
	/* The tree's root is 0755 in every image, whatever the umask. */
	return fchmod(*fd, 0755) == 0 ? NULL : err_sys(errno, "making a tree in %s/tmp", s->home);
}

struct err *store_tree_begin(struct store *s, struct store_tree_writer **out)
{
	int tmp = -1;
	TRY(store_tmp(s, &tmp));
	struct store_tree_writer *w = mem_new(struct store_tree_writer);
	w->s = s;
	w->fd = -1;
	store_tmp_name(s, 't', w->name);
	w->path = mem_printf("%s/tmp/%s/%s", s->home, s->session, w->name);
	struct err *e = make_fs(s, w->name, &w->fd);
	if (e) {
		store_tree_abandon(w);
		return store_failed(s, e, "making a tree");
	}
	*out = w;
	return NULL;
}

int store_tree_fd(const struct store_tree_writer *w)
{
	return w->fd;
}

const char *store_tree_path(const struct store_tree_writer *w)
{
	return w->path;
}

void store_tree_abandon(struct store_tree_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	store_trash(w->s, w->name, false);
	free(w->path);
	free(w);
}

void store_tree_abandonp(struct store_tree_writer **w)
{
	store_tree_abandon(*w);
	*w = NULL;
}

static struct err *insert_tree(struct store *s, const char *id, uint64_t size)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(
		s, "INSERT INTO trees(id, boot, synced, size, created) VALUES(?1, ?2, 0, ?3, ?4)", &q));
	query_text(&q, 1, id);
	query_text(&q, 2, store_boot(s));
	query_int(&q, 3, (int64_t)size);
	query_int(&q, 4, clock_now());
	return query_run(&q);
}

struct err *store_tree_commit(struct store_tree_writer *writer, uint64_t size, char id[TREE_ID_MAX])
{
	/* What is left of its directory goes away like an abandoned one. */
	struct store_tree_writer *w AUTO(store_tree_abandonp) = writer;
	struct store *s = w->s;
	char fresh[33], fs[TMP_NAME_MAX + 4], to[STORE_PATH_MAX], line[LEASE_LINE_MAX];
	random_hex(fresh, 16);
	snprintf(fs, sizeof(fs), "%s/fs", w->name);
	snprintf(to, sizeof(to), "trees/%s", fresh);
	/* A sweep removes what is neither recorded nor held. */
	TRY(store_hold(s, lease_line('t', fresh, line)));
	if (renameat(s->tmp_fd, fs, s->fd, to) < 0)
		return err_sys(errno, "renaming a tree to %s/%s", s->home, to);
	TRY(store_tx_begin(s));
	TRY(store_tx_end(s, insert_tree(s, fresh, size)));
	memcpy(id, fresh, sizeof(fresh));
	return NULL;
}

char *store_tree_dir(struct store *s, const char *id)
{
	return mem_printf("%s/trees/%s", s->home, id);
}

struct err *store_scratch(struct store *s, char **path)
{
	int tmp = -1;
	char name[TMP_NAME_MAX];
	TRY(store_tmp(s, &tmp));
	if (mkdirat(tmp, store_tmp_name(s, 's', name), 0700) < 0)
		return err_sys(errno, "making a directory in %s/tmp", s->home);
	*path = mem_printf("%s/tmp/%s/%s", s->home, s->session, name);
	return NULL;
}

struct err *store_tree_forget(struct store *s, const char *id)
{
	AUTO_QUERY struct query layers = {0}, q = {0};
	TRY(query_open(s, "UPDATE layers SET tree = NULL WHERE tree = ?1", &layers));
	query_text(&layers, 1, id);
	TRY(query_run(&layers));
	TRY(query_open(s, "DELETE FROM trees WHERE id = ?1", &q));
	query_text(&q, 1, id);
	return query_run(&q);
}

struct err *store_tree_drop_dir(struct store *s, const char *id)
{
	int tmp = -1;
	char name[TMP_NAME_MAX], from[STORE_PATH_MAX];
	TRY(store_tmp(s, &tmp));
	snprintf(from, sizeof(from), "trees/%s", id);
	if (renameat(s->fd, from, tmp, store_tmp_name(s, 'd', name)) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "renaming %s/%s aside", s->home, from);
	store_trash(s, name, true);
	return NULL;
}

static struct err *unsynced(struct store *s, struct strvec *ids)
{
	struct store *locked AUTO(store_leavep) = store_enter(s);
	AUTO_QUERY struct query q = {0};
	TRY(query_open(locked, "SELECT id FROM trees WHERE synced = 0 AND boot = ?1", &q));
	query_text(&q, 1, store_boot(s));
	for (;;) {
		bool row = false;
		TRY(query_step(&q, &row));
		if (!row)
			return NULL;
		strvec_push(ids, column_text(&q, 0));
	}
}

static struct err *mark_synced(struct store *s, const struct strvec *ids)
{
	AUTO_QUERY struct query q = {0};
	TRY(query_open(s, "UPDATE trees SET synced = 1 WHERE id = ?1", &q));
	for (size_t i = 0; i < ids->len; i++) {
		query_text(&q, 1, ids->ptr[i]);
		TRY(query_run(&q));
	}
	return NULL;
}

struct err *store_sync_trees(struct store *s)
{
	TRY(store_writable(s));
	AUTO_STRVEC struct strvec ids = {0};
	TRY(unsynced(s, &ids));
	if (ids.len == 0)
		return NULL;
	if (syncfs(s->fd) < 0)
		return err_sys(errno, "syncing store %s", s->home);
	TRY(store_tx_begin(s));
	return store_tx_end(s, mark_synced(s, &ids));
}
