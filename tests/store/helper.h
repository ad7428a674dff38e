/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/maintain.h"
#include "store/store.h"
#include "store/store_internal.h"

/* Fails the test with the error's text. */
#define assert_ok(call)                                    \
	do {                                               \
		struct err *_e = (call);                   \
		if (_e)                                    \
			fail_with(_e, __FILE__, __LINE__); \
	} while (0)
#define assert_err(call, expected)                        \
	do {                                              \
		struct err *_e = (call);                  \
		assert_int_equal(err_kind(_e), expected); \
		err_free(_e);                             \
	} while (0)

void fail_with(struct err *e, const char *file, int line);

/* cmocka fixtures: *state is a fresh directory's path, removed at the end. */
int make_home(void **state);
int drop_home(void **state);

struct store *open_store(const char *home);
/* text as a blob. */
struct digest put_text(struct store *s, const char *text);
void put_record(
	struct store *s, const char *space, const char *key, const char *value, const struct store_ref *ref);
void put_blob_record(struct store *s, const char *space, const char *key, const struct digest *d);
bool has_blob(struct store *s, const struct digest *d);
bool has_record(struct store *s, const char *space, const char *key);
char *blob_file(const char *home, const struct digest *d);
bool exists(const char *home, const char *path);
size_t count_names(const char *home, const char *dir);
/* A layer with a tree that holds one file of this text. */
struct layer make_layer(struct store *s, const char *text);
struct store_gc_result gc_all(struct store *s);
uint64_t verify_problems(struct store *s, bool repair, struct buf *text);
