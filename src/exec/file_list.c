/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "exec/file_tree_internal.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEPTH 2000
#define PREFETCH_THREADS 2

/* What the kernel says about a directory, read without holding the tree's lock. */
struct listing {
	struct vec entries; /* of struct listed */
	struct buf text;    /* names and link targets, each with its NUL */
	uint8_t content[32];
	bool has_content;
};

struct listed {
	struct stat st;
	size_t name;
	size_t link; /* in text; 0: none (a name comes first) */
};

static void listing_fini(struct listing *l)
{
	vec_fini(&l->entries);
	buf_fini(&l->text);
}

static struct err *read_link(struct file_tree *t, int dirfd, struct listing *l, struct listed *e)
{
	char target[PATH_MAX];
	const char *name = l->text.ptr + e->name;
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
	if (n < 0 || n == (ssize_t)sizeof(target))
		return err_sys(n < 0 ? errno : ENAMETOOLONG, "%s: reading the link %s", t->what, name);
	e->link = l->text.len;
	buf_add(&l->text, target, strnlen(target, (size_t)n));
	buf_addc(&l->text, '\0');
	return NULL;
}

static struct err *read_one(struct file_tree *t, int dirfd, const char *name, struct listing *l)
{
	struct listed e = {.name = l->text.len};
	if (fstatat(dirfd, name, &e.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "%s: looking at %s", t->what, name);
	buf_add(&l->text, name, strlen(name) + 1);
	if (S_ISLNK(e.st.st_mode))
		TRY(read_link(t, dirfd, l, &e));
	vec_push_copy(&l->entries, &e);
	return NULL;
}

static struct err *read_entries(struct file_tree *t, DIR *d, const char *path, struct listing *l)
{
	for (;;) {
		errno = 0;
		struct dirent *de = readdir(d);
		if (!de)
			return errno ? err_sys(errno, "%s: listing %s", t->what, path) : NULL;
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			TRY(read_one(t, dirfd(d), de->d_name, l));
	}
}

static struct err *gather(struct file_tree *t, const struct file_entry *dir, struct listing *l)
{
	AUTO_FREE char *path = file_entry_path(dir);
	AUTO_FD int fd = -1;
	TRY(entry_open(t, dir, O_RDONLY | O_DIRECTORY, path, &fd));
	TRY(dir_xattrs_digest(fd, l->content, &l->has_content));
	DIR *d = fdopendir(fd);
	if (!d)
		return err_sys(errno, "%s: listing %s", t->what, path);
	steal_fd(&fd);
	struct err *e = read_entries(t, d, path, l);
	closedir(d);
	return e;
}

/* ---- with the lock held: entries out of listings ---- */

static struct err *build(struct file_tree *t, struct file_entry *dir, const struct listing *l, int depth);

/* Is the entry itself wanted? Its states are kept when it is a directory. */
static bool filter(struct file_tree *t, const struct file_entry *dir, struct file_entry *e, const char *path)
{
	uint8_t *ex = NULL, *in = NULL;
	if (S_ISDIR(e->mode)) {
		e->exclude_state = ex = arena_alloc(t->arena, ignore_state_size(t->exclude) + 1);
		e->include_state = in = arena_alloc(t->arena, ignore_state_size(t->include) + 1);
	}
	bool excluded = ignore_step(t->exclude, dir->exclude_state, path, ex);
	bool included = !t->include || ignore_step(t->include, dir->include_state, path, in);
	return included && !excluded;
}

/* A directory that is filtered out stays when something in it is not. */
static struct err *keep_for_children(
	struct file_tree *t, struct file_entry *e, const char *path, int depth, bool *keep)
{
	AUTO(listing_fini) struct listing l = {.entries = VEC_OF(struct listed)};
	*keep = false;
	bool below = ignore_may_match_below(t->exclude, path, false) ||
		     (t->include && ignore_may_match_below(t->include, path, true) &&
			     !ignore_match(t->exclude, path, NULL));
	if (!S_ISDIR(e->mode) || !below)
		return NULL;
	TRY(gather(t, e, &l));
	TRY(build(t, e, &l, depth + 1));
	*keep = e->child_count > 0;
	return NULL;
}

static struct err *add_entry(struct file_tree *t, struct file_entry *dir, const struct listing *l,
	const struct listed *from, const char *path, int depth, struct file_entry **out)
{
	struct file_entry *e = arena_alloc(t->arena, sizeof(*e));
	*out = NULL;
	e->parent = dir;
	e->name = arena_strdup(t->arena, l->text.ptr + from->name);
	entry_from_stat(t, e, &from->st);
	if (from->link)
		e->link = arena_strdup(t->arena, l->text.ptr + from->link);
	if (!filter(t, dir, e, path)) {
		bool keep;
		TRY(keep_for_children(t, e, path, depth, &keep));
		if (!keep)
			return NULL;
	}
	*out = e;
	return NULL;
}

static int entry_cmp(const void *a, const void *b)
{
	return strcmp((*(struct file_entry *const *)a)->name, (*(struct file_entry *const *)b)->name);
}

static struct err *build(struct file_tree *t, struct file_entry *dir, const struct listing *l, int depth)
{
	AUTO_BUF struct buf path = {0};
	size_t count = 0;
	if (depth > MAX_DEPTH)
		return err_new(ERR_INVALID, "%s: directories are nested deeper than %d", t->what, MAX_DEPTH);
	entry_append_path(&path, dir);
	if (path.len)
		buf_addc(&path, '/');
	size_t prefix = path.len;
	struct file_entry **children =
		arena_alloc(t->arena, (l->entries.len + 1) * sizeof(struct file_entry *));
	for (size_t i = 0; i < l->entries.len; i++) {
		const struct listed *from = vec_at(&l->entries, i);
		struct file_entry *e;
		buf_truncate(&path, prefix);
		buf_adds(&path, l->text.ptr + from->name);
		TRY(add_entry(t, dir, l, from, buf_cstr(&path), depth, &e));
		if (e)
			children[count++] = e;
	}
	struct vec sorted = {.ptr = children, .len = count, .size = sizeof(*children)};
	vec_sort(&sorted, entry_cmp);
	dir->children = children;
	dir->child_count = count;
	dir->has_content = l->has_content;
	memcpy(dir->content, l->content, sizeof(dir->content));
	dir->listed = true;
	return NULL;
}

static struct err *list_dir(struct file_tree *t, struct file_entry *dir)
{
	AUTO(listing_fini) struct listing l = {.entries = VEC_OF(struct listed)};
	pthread_mutex_lock(&t->lock);
	bool listed = dir->listed;
	pthread_mutex_unlock(&t->lock);
	if (listed)
		return NULL;
	TRY(gather(t, dir, &l));
	pthread_mutex_lock(&t->lock);
	struct err *e = dir->listed ? NULL : build(t, dir, &l, 0);
	pthread_mutex_unlock(&t->lock);
	return e;
}

struct err *file_tree_children(
	struct file_tree *t, struct file_entry *dir, struct file_entry *const **children, size_t *count)
{
	TRY(list_dir(t, dir));
	*children = dir->children;
	*count = dir->child_count;
	return NULL;
}

/* ---- ahead of time ---- */

struct prefetch {
	struct file_tree *t;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct vec todo; /* of struct file_entry * */
	size_t busy;
};

/* The next directory, or NULL when none is left and none can come. */
static struct file_entry *next_dir(struct prefetch *p)
{
	while (!p->todo.len && p->busy)
		pthread_cond_wait(&p->wake, &p->lock);
	if (!p->todo.len)
		return NULL;
	struct file_entry *dir = *(struct file_entry **)vec_at(&p->todo, p->todo.len - 1);
	p->todo.len--;
	p->busy++;
	return dir;
}

static void *prefetch_some(void *arg)
{
	struct prefetch *p = arg;
	struct file_entry *dir;
	pthread_mutex_lock(&p->lock);
	while ((dir = next_dir(p))) {
		pthread_mutex_unlock(&p->lock);
		struct err *e = list_dir(p->t, dir);
		pthread_mutex_lock(&p->lock);
		for (size_t i = 0; !e && i < dir->child_count; i++)
			if (S_ISDIR(dir->children[i]->mode))
				*(struct file_entry **)vec_push(&p->todo) = dir->children[i];
		p->busy--;
		if (e)
			err_ignore(e, "it may not be needed; who needs it lists it again");
		pthread_cond_broadcast(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void file_tree_prefetch(struct file_tree *t, struct file_entry *dir)
{
	struct prefetch p = {.t = t, .todo = VEC_OF(struct file_entry *)};
	pthread_t threads[PREFETCH_THREADS];
	size_t started = 0;
	pthread_mutex_lock(&t->lock);
	bool listed = dir->listed;
	pthread_mutex_unlock(&t->lock);
	if (listed)
		return;
	pthread_mutex_init(&p.lock, NULL);
	pthread_cond_init(&p.wake, NULL);
	*(struct file_entry **)vec_push(&p.todo) = dir;
	while (started + 1 < PREFETCH_THREADS &&
		pthread_create(&threads[started], NULL, prefetch_some, &p) == 0)
		started++;
	prefetch_some(&p);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	vec_fini(&p.todo);
	pthread_cond_destroy(&p.wake);
	pthread_mutex_destroy(&p.lock);
}
