/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry or an image names elsewhere gets bytes, and nothing that only the registry may know. */
#include "base/mem.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct test_image image, there;
static struct fake fake, second;
static struct store *store;
static struct reference ref;
/* Requests with it are counted in fake.left. */
static const struct transfer_io io = {.header = "X-Cooper-Test: yes"};

static int group_setup(void **state)
{
	(void)state;
	(void)fixture_start();
	image_make(&image, 6);
	image_make(&there, 7);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	image_fini(&image);
	image_fini(&there);
	fixture_end();
	return 0;
}

static int setup(void **state)
{
	(void)state;
	static int count;
	AUTO_FREE char *name = mem_printf("s%d", count++);
	fake_start(&fake, &there);
	fake_start(&second, &there);
	fake.other = &second;
	store = fixture_store(name);
	AUTO_FREE char *text = mem_printf("%s/team/app:v2", fake.host);
	ok(reference_parse(text, true, &ref));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reference_fini(&ref);
	store_close(store);
	fake_stop(&fake);
	fake_stop(&second);
	return 0;
}

/* With passwords for both. */
static struct remote *remote_with_passwords(void)
{
	struct remote *r = NULL;
	AUTO_FREE char *text =
		mem_printf("{\"auths\":{\"%s\":{\"auth\":\"dTpw\"},\"%s\":{\"auth\":\"YTpi\"}}}", fake.host,
			second.host);
	AUTO_FREE char *auth = fixture_file("auth.json", text);
	ok(remote_new(store,
		&(struct remote_config){.auth_file = auth, .parallel = 1, .retries = 2, .backoff = 1000000},
		&r));
	return r;
}

static bool wants_password(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	(void)body;
	if (http_header(x, "Authorization"))
		return false;
	http_set_header(x, "WWW-Authenticate", "Basic realm=\"t\"");
	fake_answer_error(x, 401, "UNAUTHORIZED");
	return true;
}

/* ---- layers ---- */

/* Layers are at /layer/<number> only, for everybody. */
static bool has_layers_apart(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	const char *path = http_path(x);
	f->left += http_header(x, "X-Cooper-Test") != NULL;
	if (cstr_starts(path, "/layer/")) {
		const struct buf *b = &f->image->layers[path[strlen("/layer/")] - '0'];
		http_answer_file(x, 200, fake_file(buf_cstr(b), b->len), 0, b->len);
		return true;
	}
	if (wants_password(f, x, body))
		return true;
	fake_answer_error(x, 404, "BLOB_UNKNOWN");
	return true;
}

static bool layers_want_password(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	f->left += http_header(x, "X-Cooper-Test") != NULL;
	return wants_password(f, x, body) || has_layers_apart(f, x, body);
}

/* The layer i, from a URL of host. */
static struct err *fetch_layer(size_t i, const char *host)
{
	AUTO(remote_freep) struct remote *r = remote_with_passwords();
	AUTO(descriptor_fini) struct descriptor d = {0};
	descriptor_copy(&there.layer_descriptors[i], &d);
	strvec_pushf(&d.urls, "http://%s/layer/%zu", host, i);
	return remote_fetch_blob(r, &ref, &d, &io);
}

static void test_layer_elsewhere(void **state)
{
	(void)state;
	fake.hook = second.hook = has_layers_apart;
	for (size_t i = 0; i < 2; i++)
		ok(fetch_layer(i, second.host));
	assert_true(fake_count(&fake, "auth=Basic dTpw") >= 2);
	assert_true(fake.left > 0);
	assert_int_equal(fake_count(&second, "GET /layer/"), 2);
	assert_int_equal(fake_count(&second, "auth="), 0);
	assert_int_equal(second.left, 0);
}

/* Whoever made the image chose the URL: at the registry's own address, too, there may be somebody else. */
static void test_layer_beside_the_registry(void **state)
{
	(void)state;
	fake.hook = has_layers_apart;
	for (size_t i = 0; i < 2; i++)
		ok(fetch_layer(i, fake.host));
	assert_int_equal(fake_count(&fake, "GET /layer/"), 2);
	assert_int_equal(fake_count(&fake, "auth=Basic dTpw"), 2);
	assert_int_equal(fake_count(&fake, "GET /layer/0 auth="), 0);
	assert_int_equal(fake_count(&fake, "GET /layer/1 auth="), 0);
}

/* Neither those of the registry nor those that are kept for that host. */
static void test_layer_host_that_asks(void **state)
{
	(void)state;
	fake.hook = has_layers_apart;
	second.hook = layers_want_password;
	AUTO_FREE char *words = mem_printf("http://%s/layer/0: the answer is 401", second.host);
	refused(fetch_layer(0, second.host), ERR_NOT_FOUND, words);
	assert_int_equal(fake_count(&second, "GET /layer/"), 1);
	assert_int_equal(fake_count(&second, "auth="), 0);
	assert_int_equal(second.left, 0);
	fake.hook = layers_want_password;
	mem_freep(&words);
	words = mem_printf("http://%s/layer/0: the answer is 401", fake.host);
	refused(fetch_layer(0, fake.host), ERR_NOT_FOUND, words);
	assert_int_equal(fake_count(&fake, "GET /layer/0 auth="), 0);
}

/* ---- uploads ---- */

static bool uploads_elsewhere(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	if (wants_password(f, x, body))
		return true;
	if (!cstr_eq(http_method(x), "POST"))
		return false;
	AUTO_FREE char *location =
		mem_printf("http://%s/v2/team/app/blobs/uploads/there?state=0", f->other->host);
	http_set_header(x, "Location", location);
	fake_answer(x, 202, "");
	return true;
}

static void test_upload_elsewhere(void **state)
{
	(void)state;
	char text[DIGEST_TEXT_MAX];
	AUTO(remote_freep) struct remote *r = remote_with_passwords();
	image_put(store, &image);
	fake.hook = uploads_elsewhere;
	ok(remote_push(r, &image.descriptor, &ref, false, &io, NULL));
	assert_non_null(fake_uploaded(&second, digest_text(&image.layer_descriptors[0].digest, text)));
	assert_int_equal(fake_count(&second, "PUT /v2/team/app/blobs/uploads/there"), LAYERS + 1);
	assert_int_equal(fake_count(&second, "auth="), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_layer_elsewhere),
		TEST(test_layer_beside_the_registry),
		TEST(test_layer_host_that_asks),
		TEST(test_upload_elsewhere),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
