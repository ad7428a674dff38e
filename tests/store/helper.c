/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "sys/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fail_with(struct err *e, const char *file, int line)
{
	AUTO_FREE char *text = err_trace(e);
	err_free(e);
	print_error("%s:%d: %s\n", file, line, text);
	_fail(file, line);
}

int make_home(void **state)
{
	char path[] = "/tmp/cooper-store-XXXXXX";
	if (!mkdtemp(path))
		return -1;
	*state = mem_strdup(path);
	return 0;
}

int drop_home(void **state)
{
	err_ignore(tree_remove(AT_FDCWD, *state), "test end");
	free(*state);
	return 0;
}

struct store *open_store(const char *home)
{
	struct store *s = NULL;
	assert_ok(store_open(home, NULL, &s));
	return s;
}

struct digest put_text(struct store *s, const char *text)
{
	struct digest d;
	assert_ok(store_blob_put(s, text, strlen(text), &d));
	return d;
}

void put_record(
	struct store *s, const char *space, const char *key, const char *value, const struct store_ref *ref)
{
	struct store_record r = {
		.space = space, .key = key, .value = str_c(value), .refs = ref, .ref_count = ref != NULL};
	assert_ok(store_record_put(s, &r));
}

void put_blob_record(struct store *s, const char *space, const char *key, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	struct store_ref ref = {STORE_REF_BLOB, digest_text(d, text)};
	put_record(s, space, key, text, &ref);
}

bool has_blob(struct store *s, const struct digest *d)
{
	int64_t size = -1;
	assert_ok(store_blob_stat(s, d, &size));
	return size >= 0;
}

bool has_record(struct store *s, const char *space, const char *key)
{
	AUTO_BUF struct buf value = {0};
	bool found = false;
	assert_ok(store_record_get(s, space, key, &value, &found));
	return found;
}

char *blob_file(const char *home, const struct digest *d)
{
	char path[STORE_PATH_MAX];
	return mem_printf("%s/%s", home, blob_path(d, path));
}

bool exists(const char *home, const char *path)
{
	AUTO_FREE char *full = mem_printf("%s/%s", home, path);
	return access(full, F_OK) == 0;
}

size_t count_names(const char *home, const char *dir)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FREE char *full = mem_printf("%s/%s", home, dir);
	assert_ok(dir_list(AT_FDCWD, full, &names));
	return names.len;
}

struct layer make_layer(struct store *s, const char *text)
{
	struct store_tree_writer *w = NULL;
	struct layer l = {0};
	assert_ok(store_tree_begin(s, &w));
	AUTO_FD int fd = openat(store_tree_fd(w), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_ok(fd_write_all(fd, text, strlen(text), "file"));
	assert_ok(store_tree_commit(w, 4096, l.tree));
	digest_of(text, strlen(text), &l.diff_id);
	assert_ok(store_layer_add(s, &l));
	return l;
}

struct store_gc_result gc_all(struct store *s)
{
	struct store_gc_options opt = {.all = true};
	struct store_gc_result r = {0};
	assert_ok(store_gc(s, &opt, NULL, &r));
	return r;
}

static void add_problem(void *ctx, const char *text)
{
	struct buf *b = ctx;
	buf_adds(b, text);
	buf_addc(b, '\n');
}

uint64_t verify_problems(struct store *s, bool repair, struct buf *text)
{
	struct store_verify_result r = {0};
	assert_ok(store_verify(s, repair, NULL, text ? add_problem : NULL, text, &r));
	return r.problems;
}
