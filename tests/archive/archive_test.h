/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/archive share: scratch trees, tars in memory, hand-made (also broken) headers. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "archive/compress.h"
#include "archive/layer.h"
#include "archive/tar.h"
#include "archive/tar_header_internal.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "sys/file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define assert_ok(call)                                          \
	do {                                                     \
		struct err *_bad = (call);                       \
		if (_bad) {                                      \
			char *_text = err_trace(_bad);           \
			print_error("unexpected:\n%s\n", _text); \
			free(_text);                             \
			err_free(_bad);                          \
			fail();                                  \
		}                                                \
	} while (0)

/* The error must have this kind and its text hold this part. Consumes. */
#define assert_err(call, kind, part) check_err((call), (kind), (part), __FILE__, __LINE__)
void check_err(struct err *e, enum err_kind kind, const char *part, const char *file, int line);

/* A scratch directory, as test state: *state is struct scratch. */
struct scratch {
	char path[64];
	int fd;
};
int scratch_setup(void **state);
int scratch_teardown(void **state);
/* A fresh directory in it; caller closes. */
int scratch_dir(struct scratch *s, const char *name);
/* A file with these bytes, mode and time (seconds). */
void put_file(int dirfd, const char *path, const void *p, size_t len, mode_t mode, int64_t mtime);
void put_time(int dirfd, const char *path, int64_t mtime);
bool is_root(void);
/* Root outside of any user namespace. */
bool can_make_devices(void);

struct err *buf_sink(void *ctx, const void *p, size_t len); /* ctx: struct buf */
struct mem_source {
	struct str bytes;
	size_t step; /* most bytes given at once; 0: all */
};
struct err *mem_source_read(void *ctx, void *p, size_t *len);

/* The canonical tar of a tree; options may be NULL. */
void tar_of(int fd, const struct tar_write_options *opt, struct buf *out);
void digest_of_tree(int fd, struct digest *out);
struct err *unpack_buf(const struct buf *tar, int fd, const struct tar_read_options *opt);
/* Run a shell command in dir; its output is appended. True if it ended with 0. */
bool shell(const char *dir, const char *command, struct buf *out);
bool have_program(const char *name);

/* Hand-made tars. */
void add_entry(struct buf *tar, struct tar_header h, const char *data);
void add_file(struct buf *tar, const char *path, const char *data);
void add_dir(struct buf *tar, const char *path);
void add_symlink(struct buf *tar, const char *path, const char *target);
void add_hardlink(struct buf *tar, const char *path, const char *target);
void add_end(struct buf *tar);
/* Records of a pax header, and the header, which applies to the next entry. */
void pax_record(struct buf *records, const char *key, struct str value);
void add_pax(struct buf *tar, const struct buf *records);
/* The last header's field at offset becomes these bytes; its checksum is made right again. */
void patch_header(struct buf *tar, size_t header_at, size_t offset, const void *p, size_t len);

bool exists(int dirfd, const char *path);
mode_t type_of(int dirfd, const char *path);
char *text_of(int dirfd, const char *path); /* whole file; caller frees */
