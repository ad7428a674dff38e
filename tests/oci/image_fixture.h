/* SPDX-License-Identifier: Apache-2.0 */
/* A store and a scratch directory for a test, and archives made on the fly. */
#pragma once

#include "archive/compress.h"
#include "archive/tar.h"
#include "oci/images.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table.h"

struct fixture {
	char dir[64];
	struct store *store;
	struct vec names; /* of struct stored_image */
};

static inline struct store *open_store(const struct fixture *f, const char *name)
{
	struct store *s = NULL;
	AUTO_FREE char *home = mem_printf("%s/%s", f->dir, name);
	assert_ok(store_open(home, NULL, &s));
	return s;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	snprintf(f->dir, sizeof(f->dir), "/tmp/cooper-oci-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->store = open_store(f, "store");
	f->names = VEC_OF(struct stored_image);
	*state = f;
	return 0;
}

static inline void clear_names(struct fixture *f)
{
	for (size_t i = 0; i < f->names.len; i++)
		stored_image_fini(vec_at(&f->names, i));
	vec_clear(&f->names);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	clear_names(f);
	vec_fini(&f->names);
	store_close(f->store);
	assert_ok(tree_remove(AT_FDCWD, f->dir));
	free(f);
	return 0;
}

static inline struct err *to_buf(void *ctx, const void *p, size_t len)
{
	buf_add(ctx, p, len);
	return NULL;
}

/* One member: a file with text, a directory when text is NULL. */
struct member_spec {
	const char *path;
	struct str text;
};

static inline void make_tar(const struct member_spec *m, size_t count, struct buf *out)
{
	struct tar_writer *w = NULL;
	assert_ok(tar_writer_new(to_buf, out, &w));
	for (size_t i = 0; i < count; i++) {
		if (!m[i].text.ptr) {
			assert_ok(tar_writer_dir(w, m[i].path, 0));
			continue;
		}
		assert_ok(tar_writer_file(w, m[i].path, m[i].text.len, 0));
		assert_ok(tar_writer_data(w, m[i].text.ptr, m[i].text.len));
	}
	assert_ok(tar_writer_close(w));
}

static inline void compress(enum codec codec, struct str in, struct buf *out)
{
	struct compressor *z = NULL;
	assert_ok(compressor_new(codec, to_buf, out, &z));
	assert_ok(compressor_write(z, in.ptr, in.len));
	assert_ok(compressor_finish(z));
	compressor_free(z);
}

/* Caller frees the path. */
static inline char *write_file(const struct fixture *f, const char *name, struct str text)
{
	char *path = mem_printf("%s/%s", f->dir, name);
	assert_ok(file_replace(AT_FDCWD, path, text.ptr, text.len, 0644, false));
	return path;
}

static inline struct err *try_import(struct fixture *f, struct store *s, const char *path, const char *name)
{
	clear_names(f);
	struct image_import im = {.path = path, .name = name, .platform = "linux/amd64"};
	return images_import(s, &im, &f->names);
}

static inline const struct stored_image *name_at(const struct fixture *f, size_t i)
{
	assert_true(i < f->names.len);
	return vec_at(&f->names, i);
}

static inline struct descriptor image_at(const struct fixture *f, size_t i)
{
	const struct stored_image *image = name_at(f, i);
	struct descriptor d = {.digest = image->digest, .size = image->size};
	snprintf(d.media_type, sizeof(d.media_type), "%s", image->media_type);
	return d;
}

static inline void assert_no_images(struct store *s)
{
	struct vec all = VEC_OF(struct stored_image);
	assert_ok(images_list(s, &all));
	assert_int_equal(all.len, 0);
	vec_fini(&all);
}

static inline void make_rootfs(struct buf *out)
{
	const struct member_spec m[] = {{"./", {0}}, {"etc", {0}}, {"etc/hostname", STR("cask\n")},
		{"bin", {0}}, {"bin/sh", STR("#!\n")}};
	make_tar(m, ARRAY_LEN(m), out);
}
