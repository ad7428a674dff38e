/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "exec/file_tree_internal.h"
#include "exec/xattrs.h"
#include "sys/file.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_THREADS 2
/* Fewer than this is not worth a second thread. */
#define FEW_FILES 32
#define READ_ROOM (256u << 10)

struct err *dir_xattrs_digest(int fd, uint8_t content[32], bool *any)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(xattrs_names(fd, &names));
	*any = names.len > 0;
	if (!*any)
		return NULL;
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	struct digest d;
	TRY(xattrs_hash(fd, h, any));
	hasher_finish(h, &d);
	memcpy(content, d.bytes, 32);
	return NULL;
}

/* ---- picking ---- */

struct picking {
	struct file_tree *t;
	const struct ignore *exclude, *include;
	struct vec *out;
	struct map *inodes; /* key bytes of dev and ino -> 1 + index, for hard links */
};

static void take(struct picking *p, struct file_entry *e, const char *rel)
{
	struct picked *k = vec_push(p->out);
	k->entry = e;
	pthread_mutex_lock(&p->t->lock);
	k->rel = arena_strdup(p->t->arena, rel);
	pthread_mutex_unlock(&p->t->lock);
	if (!S_ISREG(e->mode) || e->nlink < 2 || p->t->opt.git_modes)
		return;
	uint64_t id[2] = {e->key.dev, e->key.ino};
	struct str key = str_n((const char *)id, sizeof(id));
	void *seen = map_get(p->inodes, key);
	if (seen)
		k->hardlink = (size_t)(uintptr_t)seen;
	else
		map_set(p->inodes, key, (void *)(uintptr_t)p->out->len);
}

static struct err *pick_children(
	struct picking *p, struct file_entry *dir, const char *rel, const uint8_t *ex, const uint8_t *in);

static struct err *pick_one(
	struct picking *p, struct file_entry *e, const char *rel, const uint8_t *ex, const uint8_t *in)
{
	size_t n = ignore_state_size(p->exclude), m = ignore_state_size(p->include);
	bool dir = S_ISDIR(e->mode);
	AUTO_FREE uint8_t *my_ex = dir && n ? mem_alloc(n) : NULL;
	AUTO_FREE uint8_t *my_in = dir && m ? mem_alloc(m) : NULL;
	bool wanted = !ignore_step(p->exclude, ex, rel, my_ex) &&
		      (!p->include || ignore_step(p->include, in, rel, my_in));
	bool below = dir && (wanted || ignore_may_match_below(p->exclude, rel, false) ||
				    (p->include && ignore_may_match_below(p->include, rel, true)));
	if (wanted || below)
		take(p, e, rel);
	if (!below)
		return NULL;
	size_t with_dir = p->out->len;
	TRY(pick_children(p, e, rel, my_ex, my_in));
	/* It came along for what is in it only, and nothing is. */
	if (!wanted && p->out->len == with_dir)
		vec_remove(p->out, with_dir - 1);
	return NULL;
}

static struct err *pick_children(
	struct picking *p, struct file_entry *dir, const char *rel, const uint8_t *ex, const uint8_t *in)
{
	struct file_entry *const *c;
	size_t n;
	TRY(file_tree_children(p->t, dir, &c, &n));
	AUTO_BUF struct buf path = {0};
	buf_adds(&path, rel);
	if (path.len)
		buf_addc(&path, '/');
	size_t prefix = path.len;
	for (size_t i = 0; i < n; i++) {
		buf_truncate(&path, prefix);
		buf_adds(&path, c[i]->name);
		TRY(pick_one(p, c[i], buf_cstr(&path), ex, in));
	}
	return NULL;
}

struct err *file_tree_pick(struct file_tree *t, struct file_entry *top, const struct ignore *exclude,
	const struct ignore *include, struct vec *out)
{
	AUTO(map_freep) struct map *inodes = map_new(NULL);
	struct picking p = {.t = t, .exclude = exclude, .include = include, .out = out, .inodes = inodes};
	if (!S_ISDIR(top->mode)) {
		if (!ignore_match(exclude, top->name, NULL) &&
			(!include || ignore_match(include, top->name, NULL)))
			take(&p, top, "");
		return NULL;
	}
	take(&p, top, "");
	file_tree_prefetch(t, top);
	return pick_children(&p, top, "", NULL, NULL);
}

/* ---- hashing ---- */

struct hash_job {
	struct file_tree *t;
	struct file_entry **files;
	size_t count;
	const struct cancel *cancel;
	atomic_size_t next;
	atomic_bool failed;
	pthread_mutex_t lock;
	struct err *error;
};

static struct err *hash_data(struct file_tree *t, struct file_entry *e, int fd, char *room, struct hasher *h)
{
	uint64_t left = e->key.size;
	while (left) {
		ssize_t n = read(fd, room, left < READ_ROOM ? (size_t)left : READ_ROOM);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			AUTO_FREE char *path = file_entry_path(e);
			if (n == 0)
				return err_new(ERR_UNAVAILABLE, "%s: %s became shorter while it was read",
					t->what, path);
			return err_sys(errno, "%s: reading %s", t->what, path);
		}
		hasher_add(h, room, (size_t)n);
		left -= (uint64_t)n;
	}
	return NULL;
}

static struct err *hash_file(struct file_tree *t, struct file_entry *e, char *room, struct hasher *h)
{
	struct digest d;
	bool any;
	int64_t now = stat_cache_clock();
	AUTO_FD int fd = -1;
	TRY(file_tree_open(t, e, &fd));
	hasher_reset(h);
	TRY(hash_data(t, e, fd, room, h));
	hasher_peek(h, &d);
	hasher_reset(h);
	hasher_add(h, d.bytes, 32);
	TRY(xattrs_hash(fd, h, &any));
	if (any)
		hasher_peek(h, &d);
	TRY(file_tree_still_same(t, e, fd));
	memcpy(e->content, d.bytes, 32);
	e->has_content = true;
	stat_cache_add(t->opt.cache, &e->key, e->content, now);
	return NULL;
}

static void *hash_some(void *arg)
{
	struct hash_job *j = arg;
	AUTO_FREE char *room = mem_alloc(READ_ROOM);
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	while (!j->failed) {
		size_t i = atomic_fetch_add(&j->next, 1);
		if (i >= j->count)
			break;
		struct err *e = cancel_check(j->cancel);
		if (!e)
			e = hash_file(j->t, j->files[i], room, h);
		if (!e)
			continue;
		j->failed = true;
		pthread_mutex_lock(&j->lock);
		j->error = err_first(j->error, e);
		pthread_mutex_unlock(&j->lock);
	}
	return NULL;
}

/* Two callers may hash one file at the same time and write the same digest: e->has_content is only looked at
 * under the lock. */
static void unknown_files(struct file_tree *t, const struct vec *picks, struct vec *out)
{
	const struct picked *k = picks->ptr;
	for (size_t i = 0; i < picks->len; i++) {
		struct file_entry *e = k[i].entry;
		if (!S_ISREG(e->mode) || e->has_content)
			continue;
		if (stat_cache_find(t->opt.cache, &e->key, e->content))
			e->has_content = true;
		else
			*(struct file_entry **)vec_push(out) = e;
	}
}

static struct err *hash_all(struct hash_job *j)
{
	pthread_t threads[HASH_THREADS];
	size_t started = 0;
	pthread_mutex_init(&j->lock, NULL);
	while (j->count > FEW_FILES && started + 1 < HASH_THREADS &&
		pthread_create(&threads[started], NULL, hash_some, j) == 0)
		started++;
	hash_some(j);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&j->lock);
	return j->error;
}

struct err *file_tree_hash(struct file_tree *t, const struct vec *picks, const struct cancel *cancel)
{
	struct vec files = VEC_OF(struct file_entry *);
	pthread_mutex_lock(&t->hashing);
	unknown_files(t, picks, &files);
	struct hash_job j = {.t = t, .files = files.ptr, .count = files.len, .cancel = cancel};
	struct err *e = files.len ? hash_all(&j) : NULL;
	pthread_mutex_unlock(&t->hashing);
	vec_fini(&files);
	return e;
}

/* ---- digests ---- */

/* Entries are put into one buffer first: a hasher call for every few bytes costs more than hashing them. */
#define DIGEST_ROOM (32u << 10)

static void add_u64(struct buf *b, uint64_t v)
{
	char bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (char)(v >> (56 - 8 * i));
	buf_add(b, bytes, 8);
}

static void add_text(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	add_u64(b, n);
	buf_add(b, s, n);
}

static void add_entry(const struct file_tree *t, const struct picked *k, struct buf *b)
{
	const struct file_entry *e = k->entry;
	add_text(b, k->rel);
	add_u64(b, e->mode);
	if (t->opt.owners) {
		add_u64(b, e->uid);
		add_u64(b, e->gid);
	}
	if (S_ISREG(e->mode)) {
		add_u64(b, k->hardlink);
		add_u64(b, e->key.size);
		buf_add(b, e->content, 32);
	} else if (S_ISLNK(e->mode)) {
		add_text(b, e->link);
	} else if (S_ISBLK(e->mode) || S_ISCHR(e->mode)) {
		add_u64(b, e->rdev);
	} else if (S_ISDIR(e->mode)) {
		add_u64(b, e->has_content);
		if (e->has_content)
			buf_add(b, e->content, 32);
	}
}

void picks_digest(const struct file_tree *t, const struct vec *picks, struct hasher *h)
{
	AUTO_BUF struct buf b = {0};
	const struct picked *k = picks->ptr;
	add_u64(&b, picks->len);
	for (size_t i = 0; i < picks->len; i++) {
		add_entry(t, &k[i], &b);
		if (b.len < DIGEST_ROOM)
			continue;
		hasher_add(h, b.ptr, b.len);
		buf_clear(&b);
	}
	hasher_add(h, buf_cstr(&b), b.len);
}
