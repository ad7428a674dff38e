/* SPDX-License-Identifier: Apache-2.0 */
/* One look at whether something is in a registry. */
#include "base/mem.h"
#include "fake.h"
#include "remote/parallel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct test_image image;
static struct fake fake, second;
static struct store *store;
static struct remote *remote;
static const struct transfer_io io;

static int group_setup(void **state)
{
	(void)state;
	(void)fixture_start();
	image_make(&image, 3);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	image_fini(&image);
	fixture_end();
	return 0;
}

static int setup(void **state)
{
	(void)state;
	static int count;
	AUTO_FREE char *name = mem_printf("s%d", count++);
	fake_start(&fake, &image);
	fake_start(&second, &image);
	store = fixture_store(name);
	ok(remote_new(store,
		&(struct remote_config){.backoff = 1000000, .auth_file = "/nonexistent/auth.json"}, &remote));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remote_freep(&remote);
	store_close(store);
	fake_stop(&fake);
	fake_stop(&second);
	return 0;
}

static void look(const char *host, const char *rest, bool want_digest, struct presence *out)
{
	AUTO(reference_fini) struct reference ref = {0};
	AUTO_FREE char *text = mem_printf("%s/team/app%s", host, rest);
	ok(reference_parse(text, false, &ref));
	ok(remote_presence(remote, &ref, want_digest, &io, out));
}

/* status, and the why ("" none). */
static void check(const char *host, const char *rest, int status, const char *why)
{
	AUTO(presence_fini) struct presence p = {0};
	look(host, rest, false, &p);
	assert_int_equal(p.status, status);
	if (*why ? !p.why || !strstr(p.why, why) : p.why != NULL)
		fail_msg("%s: got \"%s\", expected \"%s\"", rest, p.why, why);
}

static void test_there_or_not(void **state)
{
	(void)state;
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *by_digest = mem_printf("@%s", digest_text(&image.descriptor.digest, text));
	check(fake.host, ":v1", 200, "");
	check(fake.host, by_digest, 200, "");
	check(fake.host, ":v2", 404, "");
	assert_int_equal(fake_count(&fake, "HEAD /v2/team/app/manifests/v1"), 1);
	assert_int_equal(fake_count(&fake, "HEAD /v2/team/app/manifests/sha256:"), 1);
	assert_int_equal(fake_count(&fake, "GET /v2/team"), 0);
	AUTO(presence_fini) struct presence p = {0};
	look(fake.host, ":v1", true, &p);
	assert_true(digest_eq(&p.digest, &image.descriptor.digest));
	assert_int_equal(fake_count(&fake, "GET /v2/team"), 0);
}

/* text: "STATUS" or "STATUS LOCATION". */
static bool answers(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!strstr(http_path(x), "/manifests/v"))
		return false;
	const char *blank = strchr(f->text, ' ');
	if (blank)
		http_set_header(x, "Location", blank + 1);
	fake_answer_error(x, atoi(f->text), "TEST");
	return true;
}

static void test_refusals(void **state)
{
	(void)state;
	fake.hook = answers;
	fake.text = "401";
	AUTO(presence_fini) struct presence p = {0};
	look(fake.host, ":v1", false, &p);
	assert_int_equal(p.status, 401);
	assert_string_equal(p.why, "HTTP 401");
	assert_non_null(strstr(p.hint, "cooper login"));
	fake.text = "403";
	check(fake.host, ":v1", 403, "HTTP 403");
	fake.text = "500";
	check(fake.host, ":v500", 500, "HTTP 500");
	assert_int_equal(fake_count(&fake, "HEAD /v2/team/app/manifests/v500"), 2);
	fake.text = "429";
	check(fake.host, ":v1", 429, "HTTP 429");
	fake.text = "418";
	check(fake.host, ":v1", 418, "HTTP 418");
	check("127.0.0.1:1", ":v1", 0, "127.0.0.1:1");
}

static bool fails_once(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!strstr(http_path(x), "/manifests/") || f->left-- <= 0)
		return false;
	fake_answer_error(x, 503, "TEST");
	return true;
}

static void test_what_passes(void **state)
{
	(void)state;
	fake.hook = fails_once;
	fake.left = 1;
	check(fake.host, ":v1", 200, "");
	fake.left = 2;
	check(fake.host, ":v1", 503, "HTTP 503");
}

static void test_redirects(void **state)
{
	(void)state;
	AUTO_FREE char *elsewhere = mem_printf("307 http://%s/v2/team/app/manifests/v1?sig=1", second.host);
	AUTO_FREE char *shown =
		mem_printf("a redirect to http://%s/v2/team/app/manifests/v1, which is", second.host);
	fake.hook = answers;
	fake.text = elsewhere;
	check(fake.host, ":v1", 307, shown);
	assert_int_equal(fake_count(&second, ""), 0);
	fake.text = "302 https://127.0.0.1:1/x";
	check(fake.host, ":v1", 302, "not followed");
	fake.text = "301 /v2/other/app/manifests/w1";
	check(fake.host, ":v1", 404, ""); /* asked there: it has no w1 */
	assert_int_equal(fake_count(&fake, "HEAD /v2/other/app/manifests/w1"), 1);
	fake.text = "308 /v2/team/app/manifests/v1";
	check(fake.host, ":v1", 308, "more than 3 redirects");
	fake.text = "308";
	check(fake.host, ":v1", 308, "HTTP 308");
}

static bool without_header(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!strstr(http_path(x), "/manifests/"))
		return false;
	if (*f->text)
		http_set_header(x, "Docker-Content-Digest", f->text);
	http_answer(x, 200, buf_str(&f->image->manifest));
	return true;
}

static void test_digest_not_told(void **state)
{
	(void)state;
	const char *const headers[] = {"", "sha256:123"};
	fake.hook = without_header;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		AUTO(presence_fini) struct presence p = {0}, q = {0};
		fake.text = headers[i];
		look(fake.host, ":v1", false, &p);
		assert_int_equal(p.status, 200);
		assert_false(digest_is_set(&p.digest));
		look(fake.host, ":v1", true, &q);
		assert_true(digest_eq(&q.digest, &image.descriptor.digest));
	}
	assert_int_equal(fake_count(&fake, "GET /v2/team/app/manifests/v1"), 2);
}

static bool web_page(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	(void)f;
	http_set_header(x, "Content-Type", "text/html; charset=utf-8");
	fake_answer(x, 200, "<html>log in</html>");
	return true;
}

static void test_web_page(void **state)
{
	(void)state;
	fake.hook = web_page;
	check(fake.host, ":v1", 200, "a page of HTML");
}

static struct err *look_at(void *ctx, size_t i, const struct transfer_io *each)
{
	struct presence *all = ctx;
	AUTO(reference_fini) struct reference ref = {0};
	AUTO_FREE char *text = mem_printf("%s/team/app:%s", fake.host, i % 2 ? "v1" : "v2");
	TRY(reference_parse(text, false, &ref));
	return remote_presence(remote, &ref, false, each, &all[i]);
}

static void test_many_and_cancel(void **state)
{
	(void)state;
	struct presence all[40] = {0};
	ok(parallel_run(ARRAY_LEN(all), 8, &io, look_at, all));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(all[i].status, i % 2 ? 200 : 404);
		presence_fini(&all[i]);
	}
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	cancel_set(cancel);
	struct presence none = {0};
	refused(parallel_run(1, 1, &(struct transfer_io){.cancel = cancel}, look_at, &none), ERR_CANCELED,
		"");
	assert_null(none.why);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_or_not),
		TEST(test_refusals),
		TEST(test_what_passes),
		TEST(test_redirects),
		TEST(test_digest_not_told),
		TEST(test_web_page),
		TEST(test_many_and_cancel),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
