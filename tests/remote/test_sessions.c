/* SPDX-License-Identifier: Apache-2.0 */
/* An upload that was cut: what the registry says of its session is believed only where it can be so. */
#include "base/mem.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HALF (BIG_LAYER / 2)

static struct test_image image, there;
static struct fake fake;
static struct store *store;
static struct reference ref;
static const struct transfer_io io;

/* What the session answers; range NULL: none. */
static int answer_status;
static const char *answer_range;
static size_t kept; /* bytes of the PUT that is cut */

static int group_setup(void **state)
{
	(void)state;
	(void)fixture_start();
	image_make(&image, 10);
	image_make(&there, 11);
	store = fixture_store("s");
	image_put(store, &image);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	store_close(store);
	image_fini(&image);
	image_fini(&there);
	fixture_end();
	return 0;
}

/* The large layer's first PUT ends in the middle; its session answers as the case wants. */
static bool cut_once(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	const char *method = http_method(x), *path = http_path(x);
	if (cstr_eq(method, "PUT") && body->len > (1 << 20) && f->left-- > 0) {
		buf_add(&f->session, body->ptr, kept);
		fake_answer(x, 504, "");
		return true;
	}
	if (!cstr_eq(method, "GET") || !strstr(path, "/uploads/"))
		return false;
	AUTO_FREE char *location = mem_printf("%s?state=%zu", path, f->session.len);
	http_set_header(x, "Location", location);
	if (answer_range)
		http_set_header(x, "Range", answer_range);
	fake_answer(x, answer_status, "");
	return true;
}

static void push(int status, const char *range, size_t bytes)
{
	AUTO(remote_freep) struct remote *r = NULL;
	AUTO_FREE char *text = mem_printf("%s/team/app:v2", fake.host);
	ok(reference_parse(text, true, &ref));
	answer_status = status;
	answer_range = range;
	kept = bytes;
	fake.hook = cut_once;
	fake.left = 1;
	ok(remote_new(store,
		&(struct remote_config){
			.parallel = 1, .retries = 3, .backoff = 1000000, .auth_file = "/nonexistent/a"},
		&r));
	ok(remote_push(r, &image.descriptor, &ref, false, &io, NULL));
	reference_fini(&ref);
	char name[DIGEST_TEXT_MAX];
	const struct buf *got = fake_uploaded(&fake, digest_text(&image.layer_descriptors[0].digest, name));
	assert_non_null(got);
	assert_int_equal(got->len, BIG_LAYER);
	assert_memory_equal(got->ptr, image.layers[0].ptr, BIG_LAYER);
}

static void test_believed(void **state)
{
	(void)state;
	const char *const ranges[] = {"0-3145727", "bytes=0-3145727"};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		fake_start(&fake, &there);
		push(204, ranges[i], HALF);
		assert_int_equal(fake.sessions, LAYERS + 1);
		assert_int_equal(fake_count(&fake, "state=3145728 part=3145728-6291455"), 1);
		fake_stop(&fake);
	}
	/* Nothing is missing but the end. */
	fake_start(&fake, &there);
	push(204, "0-6291455", BIG_LAYER);
	assert_int_equal(fake.sessions, LAYERS + 1);
	assert_int_equal(fake_count(&fake, "PATCH "), 0);
	fake_stop(&fake);
}

/* All of it goes into a new session. */
static void test_not_believed(void **state)
{
	(void)state;
	const struct {
		int status;
		const char *range;
	} cases[] = {
		{204, NULL},
		{204, "0-"},
		{204, "-3145727"},
		{204, "0-x"},
		{204, "0-0"},
		{204, "1-3145727"},
		{204, "3145727"},
		{204, "0-6291456"},
		{204, "0-18446744073709551615"},
		{204, "0-18446744073709551616"},
		{404, "0-3145727"},
		{202, "0-3145727"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		fake_start(&fake, &there);
		push(cases[i].status, cases[i].range, HALF);
		unsigned puts = fake_count(&fake, "PUT /v2/team/app/blobs/uploads/");
		if (fake.sessions != LAYERS + 2 || puts != LAYERS + 2 || fake_count(&fake, "PATCH "))
			fail_msg("%d, '%s': %u sessions, %u PUTs, %u PATCHes", cases[i].status,
				cases[i].range ? cases[i].range : "none", fake.sessions, puts,
				fake_count(&fake, "PATCH "));
		assert_int_equal(fake_count(&fake, "GET /v2/team/app/blobs/uploads/"), 1);
		fake_stop(&fake);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_believed),
		cmocka_unit_test(test_not_believed),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
