/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "registry/small.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct store *s;
	struct small_contents *c;
};

static void assert_ok(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	fail_msg("%s", text);
}

static int setup(void **state)
{
	struct fixture *f = mem_new(struct fixture);
	snprintf(f->dir, sizeof(f->dir), "/tmp/cooper-small-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_ok(store_open(f->dir, NULL, &f->s));
	f->c = small_contents_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	small_contents_free(f->c);
	store_close(f->s);
	assert_ok(tree_remove(AT_FDCWD, f->dir));
	free(f);
	return 0;
}

static struct digest put(struct fixture *f, const char *fill, size_t len)
{
	struct digest d;
	AUTO_FREE char *bytes = mem_zalloc(len + 1);
	memcpy(bytes, fill, strlen(fill) < len ? strlen(fill) : len);
	assert_ok(store_blob_put(f->s, bytes, len, &d));
	return d;
}

static void remove_file(struct fixture *f, const struct digest *d)
{
	char hex[DIGEST_TEXT_MAX];
	AUTO_FREE char *path = mem_printf("%s/blobs/sha256/%.2s/%s", f->dir, digest_hex(d, hex), hex);
	assert_int_equal(unlink(path), 0);
}

static bool reads(struct fixture *f, const struct digest *d, size_t len)
{
	AUTO_BUF struct buf out = {0};
	buf_adds(&out, "what was there before");
	struct err *e = small_contents_read(f->c, f->s, d, 1u << 20, &out);
	if (e) {
		assert_int_equal(err_kind(e), ERR_NOT_FOUND);
		err_free(e);
		return false;
	}
	assert_int_equal(out.len, len);
	return true;
}

static void from_memory(void **state)
{
	struct fixture *f = *state;
	struct digest small = put(f, "small", 5), empty = put(f, "", 0);
	struct digest large = put(f, "large", SMALL_CONTENT_MAX + 1);
	for (int i = 0; i < 2; i++) {
		assert_true(reads(f, &small, 5));
		assert_true(reads(f, &empty, 0));
		assert_true(reads(f, &large, SMALL_CONTENT_MAX + 1));
		if (i == 0) {
			remove_file(f, &small);
			remove_file(f, &empty);
		}
	}
	remove_file(f, &large);
	assert_false(reads(f, &large, 0));
}

/* What is asked for now and then stays, what was asked for once goes. */
static void bounded(void **state)
{
	struct fixture *f = *state;
	char name[16];
	struct digest often = put(f, "often", 1000), once = put(f, "once", 1000);
	assert_true(reads(f, &often, 1000) && reads(f, &once, 1000));
	remove_file(f, &often);
	remove_file(f, &once);
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "%d", i);
		struct digest other = put(f, name, 30000);
		assert_true(reads(f, &other, 30000));
		if (i % 50 == 0)
			assert_true(reads(f, &often, 1000));
	}
	assert_true(reads(f, &often, 1000));
	assert_false(reads(f, &once, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(from_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(bounded, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
