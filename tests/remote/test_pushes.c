/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes, tags and tokens against a registry that is particular. */
#include "base/mem.h"
#include "fake.h"
#include "remote/remote_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static struct test_image image, there;
static struct fake fake, second;
static struct store *store;
static struct reference ref;
static const struct transfer_io io;

static int group_setup(void **state)
{
	(void)state;
	(void)fixture_start();
	image_make(&image, 4);
	image_make(&there, 5);
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
	image_put(store, &image);
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

static struct err *push_with(const struct remote_config *cfg)
{
	struct remote *r = NULL;
	ok(remote_new(store, cfg, &r));
	struct err *e = remote_push(r, &image.descriptor, &ref, false, &io, NULL);
	remote_free(r);
	return e;
}

/* One transfer at a time: the sessions of the fake share one buffer. */
static struct err *push(void)
{
	return push_with(&(struct remote_config){
		.parallel = 1, .retries = 3, .backoff = 1000000, .auth_file = "/nonexistent/a"});
}

static void check_uploaded(struct fake *f)
{
	char text[DIGEST_TEXT_MAX];
	for (size_t i = 0; i < LAYERS; i++) {
		const struct buf *got =
			fake_uploaded(f, digest_text(&image.layer_descriptors[i].digest, text));
		assert_non_null(got);
		assert_int_equal(got->len, image.layers[i].len);
		assert_memory_equal(buf_cstr(got), buf_cstr(&image.layers[i]), got->len);
	}
	assert_non_null(fake_uploaded(f, digest_text(&image.config_descriptor.digest, text)));
	const struct buf *manifest = fake_uploaded(f, "v2");
	assert_non_null(manifest);
	assert_string_equal(buf_cstr(manifest), buf_cstr(&image.manifest));
}

/* ---- ways to send ---- */

static void test_plain(void **state)
{
	(void)state;
	ok(push());
	check_uploaded(&fake);
	assert_int_equal(fake_count(&fake, "PATCH "), 0);
	assert_int_equal(fake_count(&fake, "POST "), LAYERS + 1);
	assert_int_equal(fake_count(&fake, "HEAD /v2/team/app/blobs/"), LAYERS + 1);
	/* The tag comes last. */
	assert_string_equal(fake.log.ptr[fake.log.len - 1], "PUT /v2/team/app/manifests/v2");
}

/* A closing PUT may not carry bytes. */
static bool no_put_body(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	if (!cstr_eq(http_method(x), "PUT") || !strstr(http_path(x), "/uploads/") || !body->len)
		return false;
	fake_answer_error(x, 405, "UNSUPPORTED");
	return true;
}

static void test_patch(void **state)
{
	(void)state;
	fake.hook = no_put_body;
	ok(push());
	check_uploaded(&fake);
	assert_int_equal(
		fake_count(&fake, "PATCH "), LAYERS); /* the empty one needs none, the config is one */
	assert_int_equal(fake_count(&fake, " part="), 0);
	/* The closing PUT uses the Location of the PATCH, whose state is the bytes so far. */
	assert_int_equal(fake_count(&fake, "state=6291456"), 1);
}

static bool small_requests(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	if (body->len <= (4 << 20))
		return false;
	fake_answer(x, 413, "<html>413 Request Entity Too Large</html>");
	return true;
}

static bool tiny_requests(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	if (body->len <= (1 << 20))
		return false;
	fake_answer(x, 413, "<html>413 Request Entity Too Large</html>");
	return true;
}

static void test_chunks(void **state)
{
	(void)state;
	fake.hook = small_requests;
	ok(push());
	check_uploaded(&fake);
	assert_int_equal(fake_count(&fake, "part=0-4194303"), 1);
	assert_int_equal(fake_count(&fake, "part=4194304-6291455"), 1);
	fake_forget(&fake);
	fake.hook = tiny_requests;
	refused(push(), ERR_NO_SPACE, "client_max_body_size");
}

static bool flaky_put(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	if (!cstr_eq(http_method(x), "PUT") || !body->len || f->left-- <= 0)
		return false;
	fake_answer(x, 502, "bad gateway");
	return true;
}

static void test_flaky(void **state)
{
	(void)state;
	fake.hook = flaky_put;
	fake.left = 2;
	ok(push());
	check_uploaded(&fake);
	assert_int_equal(fake_count(&fake, "DELETE "), 2);
	fake_forget(&fake);
	fake.left = 99;
	refused(push(), ERR_UNAVAILABLE, "the answer is 502, bad gateway");
}

/* The connection broke, but the session has half of the bytes. */
static bool half_put(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	if (!cstr_eq(http_method(x), "PUT") || body->len < (1 << 20) || f->left-- <= 0)
		return false;
	buf_add(&f->session, body->ptr, body->len / 2);
	fake_answer(x, 504, "");
	return true;
}

static void test_half(void **state)
{
	(void)state;
	fake.hook = half_put;
	fake.left = 1;
	ok(push());
	check_uploaded(&fake);
	assert_int_equal(fake.sessions, LAYERS + 1);
	assert_int_equal(fake_count(&fake, "part=3145728-6291455"), 1);
}

static bool wrong_digest(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	if (!cstr_eq(http_method(x), "PUT") || !body->len)
		return false;
	fake_answer_error(x, 400, "DIGEST_INVALID");
	return true;
}

static void test_damaged(void **state)
{
	(void)state;
	fake.hook = wrong_digest;
	refused(push(), ERR_INVALID, "cooper store verify");
}

/* ---- what is there already ---- */

static void test_existing_tag(void **state)
{
	(void)state;
	AUTO(remote_freep) struct remote *r = NULL;
	ok(remote_new(store, NULL, &r));
	AUTO(reference_fini) struct reference taken = {0};
	AUTO_FREE char *text = mem_printf("%s/team/app:v1", fake.host);
	ok(reference_parse(text, true, &taken));
	refused(remote_push(r, &image.descriptor, &taken, false, &io, NULL), ERR_EXISTS, "the tag exists");
	assert_int_equal(fake_count(&fake, "POST "), 0);
	bool already = false;
	ok(remote_push(r, &there.descriptor, &taken, false, &io, &already));
	assert_true(already);
	assert_int_equal(fake_count(&fake, "POST "), 0);
}

/* Mounts work only from the repository that the test names; others get a session, as the specification wants.
 */
static bool mounts(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!http_query(x, "mount"))
		return false;
	if (!cstr_eq(http_query(x, "from"), f->text))
		return false;
	fake_answer(x, 201, "");
	return true;
}

static void test_mount(void **state)
{
	(void)state;
	AUTO(vec_fini) struct vec blobs = VEC_OF(struct descriptor);
	AUTO(reference_fini) struct reference near = {0}, far = {0};
	AUTO_FREE char *near_text = mem_printf("%s/team/near", fake.host);
	ok(reference_parse(near_text, false, &near));
	ok(reference_parse("elsewhere.invalid/team/far", false, &far));
	vec_push_copy(&blobs, &image.layer_descriptors[0]);
	ok(origin_add(store, &near, &blobs));
	ok(origin_add(store, &far, &blobs));
	fake.hook = mounts;
	fake.text = "team/near";
	ok(push());
	assert_int_equal(fake_count(&fake, "mount=sha256:"), 1);
	assert_int_equal(fake_count(&fake, " from=team/near"), 1);
	assert_int_equal(fake.sessions, LAYERS);
	/* Refused: it is sent. */
	fake.text = "nowhere";
	reference_fini(&ref);
	AUTO_FREE char *text = mem_printf("%s/team/third:v2", fake.host);
	ok(reference_parse(text, true, &ref));
	fake_forget(&fake);
	ok(push());
	check_uploaded(&fake);
}

static void test_origin_order(void **state)
{
	(void)state;
	AUTO(vec_fini) struct vec blobs = VEC_OF(struct descriptor);
	vec_push_copy(&blobs, &image.layer_descriptors[1]);
	for (int i = 0; i < 12; i++) {
		AUTO_FREE char *text = mem_printf("h.example/r%d", i % 11);
		AUTO(reference_fini) struct reference at = {0};
		ok(reference_parse(text, false, &at));
		ok(origin_add(store, &at, &blobs));
	}
	AUTO_STRVEC struct strvec places = {0};
	ok(origin_get(store, &image.layer_descriptors[1].digest, &places));
	assert_int_equal(places.len, 8);
	assert_string_equal(places.ptr[0], "h.example/r0");
	assert_string_equal(places.ptr[1], "h.example/r10");
}

/* ---- tags ---- */

static bool tag_pages(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!cstr_ends(http_path(x), "/tags/list"))
		return false;
	const char *last = http_query(x, "last");
	if (!last) {
		http_set_header(x, "Link", f->text);
		fake_answer(x, 200, "{\"name\":\"team/app\",\"tags\":[\"c\",\"b\"]}");
	} else {
		fake_answer(x, 200, cstr_eq(last, "b") ? "{\"tags\":[\"a\",\"b\"]}" : "{\"tags\":null}");
	}
	return true;
}

static void test_tag_pages(void **state)
{
	(void)state;
	AUTO(remote_freep) struct remote *r = NULL;
	ok(remote_new(store, NULL, &r));
	AUTO_STRVEC struct strvec tags = {0}, none = {0};
	fake.hook = tag_pages;
	fake.text = "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\"";
	ok(remote_tags(r, &ref, &io, &tags));
	assert_int_equal(tags.len, 3);
	assert_string_equal(tags.ptr[0], "a");
	assert_string_equal(tags.ptr[2], "c");
	const char *const bad[] = {"<http://elsewhere.invalid/v2/>; rel=\"next\"",
		"</v2/team/app/tags/list?n=1000>; rel=\"next\""};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		fake.text = bad[i];
		refused(remote_tags(r, &ref, &io, &none), ERR_INVALID, "which is not its next page");
	}
}

/* ---- tokens ---- */

/* left: how many tokens were given. text: the token that is good now. */
static bool wants_token(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	const char *auth = http_header(x, "Authorization");
	if (cstr_eq(http_path(x), "/token")) {
		AUTO_BUF struct buf answer = {0};
		if (auth && !cstr_eq(auth, "Basic dTpw")) {
			fake_answer_error(x, 401, "UNAUTHORIZED");
			return true;
		}
		/* Kept for the test to look at. */
		strvec_pushf(&f->log, "token for %s service=%s scope=%s scope2=%s body=%s",
			auth ? auth : "nobody", http_query(x, "service") ? http_query(x, "service") : "-",
			http_query(x, "scope") ? http_query(x, "scope") : "-",
			http_query_at(x, "scope", 1) ? http_query_at(x, "scope", 1) : "-", buf_cstr(body));
		buf_addf(&answer, "{\"%s\":\"tok%d\",\"expires_in\":300}",
			f->left % 2 ? "token" : "access_token", f->left);
		f->left++;
		http_answer(x, 200, buf_str(&answer));
		return true;
	}
	AUTO_FREE char *good = mem_printf("Bearer tok%d", f->left - 1);
	if (cstr_eq(auth, good))
		return mounts(f, x, body);
	AUTO_FREE char *challenge =
		f->other->text
			? mem_strdup(f->other->text)
			: mem_printf("Bearer realm=\"http://%s/token\",service=\"the service\"", f->host);
	http_set_header(x, "WWW-Authenticate", "Negotiate");
	http_set_header(x, "WWW-Authenticate", challenge);
	fake_answer_error(x, 401, "UNAUTHORIZED");
	return true;
}

static struct err *push_as(const char *entry)
{
	AUTO_FREE char *text = mem_printf("{\"auths\":{\"%s\":{%s}}}", fake.host, entry);
	AUTO_FREE char *auth = fixture_file("tokens.json", text);
	return push_with(
		&(struct remote_config){.parallel = 1, .retries = 2, .backoff = 1000000, .auth_file = auth});
}

static void test_token(void **state)
{
	(void)state;
	fake.hook = wants_token;
	ok(push_as("\"auth\":\"dTpw\""));
	check_uploaded(&fake);
	assert_int_equal(fake.left, 1);
	assert_int_equal(fake_count(&fake, "token for Basic dTpw service=the service "
					   "scope=repository:team/app:pull,push scope2=- body="),
		1);
	/* Credentials go to the token server only. */
	assert_int_equal(fake_count(&fake, "/v2/team/app/blobs/uploads/ auth=Basic"), 0);
}

static void test_token_with_mount(void **state)
{
	(void)state;
	AUTO(vec_fini) struct vec blobs = VEC_OF(struct descriptor);
	AUTO(reference_fini) struct reference near = {0};
	AUTO_FREE char *near_text = mem_printf("%s/team/near", fake.host);
	ok(reference_parse(near_text, false, &near));
	vec_push_copy(&blobs, &image.layer_descriptors[0]);
	ok(origin_add(store, &near, &blobs));
	fake.hook = wants_token;
	fake.text = "team/near";
	ok(push_as("\"auth\":\"dTpw\""));
	assert_true(
		fake_count(&fake,
			"scope=repository:team/app:pull,push scope2=repository:team/near:pull body=") >= 1);
	assert_int_equal(fake.sessions, LAYERS);
}

/* The token runs out in the middle: one new one, and on it goes. */
static bool token_runs_out(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	if (cstr_eq(http_method(x), "PUT") && body->len > (1 << 20) && f->left == 1) {
		http_set_header(x, "WWW-Authenticate", f->other->text);
		fake_answer_error(x, 401, "UNAUTHORIZED");
		return true;
	}
	return wants_token(f, x, body);
}

static void test_token_renewed(void **state)
{
	(void)state;
	AUTO_FREE char *challenge = mem_printf(
		"Bearer realm=\"http://%s/token\",service=\"s\",scope=\"repository:team/app:push\"",
		fake.host);
	fake.hook = token_runs_out;
	second.text = challenge;
	ok(push_as("\"auth\":\"dTpw\""));
	check_uploaded(&fake);
	assert_int_equal(fake.left, 2);
}

static void test_refresh_token(void **state)
{
	(void)state;
	fake.hook = wants_token;
	ok(push_as("\"identitytoken\":\"re fresh\""));
	assert_int_equal(fake_count(&fake, "token for nobody service=- scope=- scope2=- "
					   "body=grant_type=refresh_token&refresh_token=re%20fresh"
					   "&service=the%20service&client_id=cooper&scope=repository%3Ateam%"
					   "2Fapp%3Apull%2Cpush"),
		1);
}

static void test_token_refused(void **state)
{
	(void)state;
	fake.hook = wants_token;
	refused(push_as("\"auth\":\"eDp5\""), ERR_DENIED, "from /tmp/cooper-remote-");
	/* Never to a third party in the clear. */
	second.text = "Bearer realm=\"http://thief.invalid/token\",service=\"s\"";
	refused(push_as("\"auth\":\"dTpw\""), ERR_DENIED, "in the clear");
	second.text = "Bearer realm=\"ftp://thief.invalid/token\",service=\"s\"";
	refused(push_as("\"auth\":\"dTpw\""), ERR_INVALID, "must begin with http");
}

/* text: where tokens are given; "" is here, where it is not possible just now. */
static bool token_server_away(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (cstr_eq(http_path(x), "/token")) {
		fake_answer(x, 503, "not now");
		return true;
	}
	AUTO_FREE char *challenge =
		*f->text ? mem_strdup(f->text) : mem_printf("Bearer realm=\"http://%s/token\"", f->host);
	http_set_header(x, "WWW-Authenticate", challenge);
	fake_answer_error(x, 401, "UNAUTHORIZED");
	return true;
}

/* Who needs a token does not try as often again what the fetching of tokens has tried in vain. */
static void test_token_tries(void **state)
{
	(void)state;
	const struct remote_config cfg = {
		.parallel = 1, .retries = 4, .backoff = 1000000, .auth_file = "/nonexistent/auth.json"};
	fake.hook = token_server_away;
	fake.text = "";
	refused(push_with(&cfg), ERR_UNAVAILABLE, "/token answered 503");
	assert_int_equal(fake_count(&fake, "GET /token"), 4);
	unsigned before = (unsigned)fake.log.len;
	fake.text = "Bearer realm=\"https://token.invalid/\"";
	refused(push_with(&cfg), ERR_UNAVAILABLE, "asking for a token");
	assert_int_equal(fake.log.len - before, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_patch),
		TEST(test_chunks),
		TEST(test_flaky),
		TEST(test_half),
		TEST(test_damaged),
		TEST(test_existing_tag),
		TEST(test_mount),
		TEST(test_origin_order),
		TEST(test_tag_pages),
		TEST(test_token),
		TEST(test_token_with_mount),
		TEST(test_token_renewed),
		TEST(test_refresh_token),
		TEST(test_token_refused),
		TEST(test_token_tries),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
