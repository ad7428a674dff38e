/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/stat_cache.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "cooper-idx-1\n\0\0\0"
#define MAGIC_LEN 16
#define HEADER_LEN (MAGIC_LEN + 8)
#define SUM_LEN 32
#define MAX_ENTRIES (UINT64_C(1) << 24)
/* Times with a fraction come from a clock that ticks every few milliseconds, others perhaps every two
 * seconds. */
#define FINE_MARGIN INT64_C(50000000)
#define COARSE_MARGIN INT64_C(2500000000)
/* Indexes kept; the ones written longest ago go first. */
#define MAX_INDEXES 256
/* Rows of files not seen for long are dropped once they outnumber the rest. */
#define MAX_STALE 50000

struct row {
	struct stat_key key;
	uint8_t digest[32];
};
_Static_assert(sizeof(struct row) == 72, "the form on disk");

struct stat_cache {
	struct store *store;
	char *name; /* below the store's home */
	void *map;
	size_t map_len;
	const struct row *rows;
	size_t count;
	pthread_mutex_t lock;
	struct vec added; /* of struct row */
	size_t saved;     /* of added, as many are on disk */
};

static int row_cmp(const void *a, const void *b)
{
	const struct stat_key *x = &((const struct row *)a)->key, *y = &((const struct row *)b)->key;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return 0;
}

static bool map_is_valid(const uint8_t *p, size_t len, uint64_t *count)
{
	if (len < HEADER_LEN + SUM_LEN || memcmp(p, MAGIC, MAGIC_LEN) != 0)
		return false;
	memcpy(count, p + MAGIC_LEN, 8);
	if (*count > MAX_ENTRIES || len != HEADER_LEN + *count * sizeof(struct row) + SUM_LEN)
		return false;
	struct digest sum;
	digest_of(p, len - SUM_LEN, &sum);
	return memcmp(sum.bytes, p + len - SUM_LEN, SUM_LEN) == 0;
}

static void load(struct stat_cache *c)
{
	AUTO_FD int fd = openat(store_dirfd(c->store), c->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return;
	size_t len = (size_t)st.st_size;
	void *p = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		return;
	uint64_t count;
	if (!map_is_valid(p, len, &count)) {
		munmap(p, len);
		return;
	}
	c->map = p;
	c->map_len = len;
	c->rows = (const struct row *)(const void *)((const uint8_t *)p + HEADER_LEN);
	c->count = (size_t)count;
}

struct stat_cache *stat_cache_open(struct store *s, const char *dir)
{
	struct stat_cache *c = mem_new(struct stat_cache);
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	digest_of(dir, strlen(dir), &d);
	c->store = s;
	c->name = mem_printf("contexts/%s.idx", digest_hex(&d, hex));
	c->added = VEC_OF(struct row);
	pthread_mutex_init(&c->lock, NULL);
	load(c);
	return c;
}

void stat_cache_free(struct stat_cache *c)
{
	if (!c)
		return;
	if (c->map)
		munmap(c->map, c->map_len);
	vec_fini(&c->added);
	pthread_mutex_destroy(&c->lock);
	free(c->name);
	free(c);
}

bool stat_cache_find(const struct stat_cache *c, const struct stat_key *k, uint8_t digest[32])
{
	if (!c || !c->count)
		return false;
	const struct row *r = bsearch(k, c->rows, c->count, sizeof(*r), row_cmp);
	if (!r || memcmp(&r->key, k, sizeof(*k)) != 0)
		return false;
	memcpy(digest, r->digest, 32);
	return true;
}

int64_t stat_cache_clock(void)
{
	/* Not clock_now, which tests shift: this is compared with what the kernel writes into inodes. */
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static bool settled(const struct stat_key *k, int64_t read_at)
{
	int64_t latest = k->mtime > k->ctime ? k->mtime : k->ctime;
	int64_t margin = k->ctime % INT64_C(1000000000) ? FINE_MARGIN : COARSE_MARGIN;
	return latest < read_at - margin;
}

void stat_cache_add(struct stat_cache *c, const struct stat_key *k, const uint8_t digest[32], int64_t read_at)
{
	if (!c || !settled(k, read_at))
		return;
	struct row r = {.key = *k};
	memcpy(r.digest, digest, 32);
	pthread_mutex_lock(&c->lock);
	vec_push_copy(&c->added, &r);
	pthread_mutex_unlock(&c->lock);
}

/* Both sorted; a new row replaces the old one of the same inode. */
static void merge(const struct stat_cache *c, struct buf *out)
{
	const struct row *add = c->added.ptr;
	size_t i = 0, j = 0, old = c->count;
	if (old > c->added.len * 4 + MAX_STALE)
		old = 0;
	while (i < old || j < c->added.len) {
		int order = i == old ? 1 : j == c->added.len ? -1 : row_cmp(&c->rows[i], &add[j]);
		if (order < 0) {
			buf_add(out, &c->rows[i++], sizeof(struct row));
			continue;
		}
		i += order == 0;
		if (j + 1 == c->added.len || row_cmp(&add[j], &add[j + 1]) != 0)
			buf_add(out, &add[j], sizeof(struct row));
		j++;
	}
}

struct index_file {
	char *name;
	int64_t mtime;
};

static int index_cmp(const void *a, const void *b)
{
	int64_t x = ((const struct index_file *)a)->mtime, y = ((const struct index_file *)b)->mtime;
	return x < y ? -1 : x > y;
}

/* Before an index is written for a directory that had none: directories come and go, their indexes only come.
 */
static struct err *make_room(int home)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FD int dir = -1;
	TRY(dir_list(home, "contexts", &names));
	if (names.len < MAX_INDEXES)
		return NULL;
	TRY(file_open(home, "contexts", O_RDONLY | O_DIRECTORY, 0, &dir));
	struct vec files = VEC_OF(struct index_file);
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;
		if (fstatat(dir, names.ptr[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			vec_push_copy(&files, &(struct index_file){names.ptr[i], stat_mtime_ns(&st)});
	}
	vec_sort(&files, index_cmp);
	for (size_t i = 0; i + MAX_INDEXES / 2 < files.len; i++)
		unlinkat(dir, ((struct index_file *)vec_at(&files, i))->name, 0);
	vec_fini(&files);
	return NULL;
}

static struct err *save_locked(struct stat_cache *c)
{
	AUTO_BUF struct buf b = {0};
	vec_sort(&c->added, row_cmp);
	buf_add(&b, MAGIC, MAGIC_LEN);
	buf_add(&b, "\0\0\0\0\0\0\0", 8);
	merge(c, &b);
	uint64_t count = (b.len - HEADER_LEN) / sizeof(struct row);
	memcpy(b.ptr + MAGIC_LEN, &count, 8);
	struct digest sum;
	digest_of(b.ptr, b.len, &sum);
	buf_add(&b, sum.bytes, SUM_LEN);
	int home = store_dirfd(c->store);
	TRY(dir_make_all(home, "contexts", 0700));
	if (!c->map)
		TRY(make_room(home));
	TRY(file_replace(home, c->name, b.ptr, b.len, 0600, false));
	c->saved = c->added.len;
	return NULL;
}

struct err *stat_cache_save(struct stat_cache *c)
{
	struct err *e = NULL;
	if (!c)
		return NULL;
	pthread_mutex_lock(&c->lock);
	if (c->added.len > c->saved)
		e = save_locked(c);
	pthread_mutex_unlock(&c->lock);
	if (e && (err_kind(e) == ERR_DENIED || err_kind(e) == ERR_NO_SPACE)) {
		err_ignore(e, "the index only saves time");
		e = NULL;
	}
	return e;
}
