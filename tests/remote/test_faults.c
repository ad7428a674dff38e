/* SPDX-License-Identifier: Apache-2.0 */
/* Pulls from a registry that misbehaves. */
#include "base/clock.h"
#include "base/mem.h"
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct test_image image;
static struct fake fake, second;
static struct store *store;
static struct reference ref;
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
	fake.other = &second;
	store = fixture_store(name);
	AUTO_FREE char *text = mem_printf("%s/team/app:v1", fake.host);
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

static struct err *pull_with(const struct remote_config *cfg)
{
	struct remote *r = NULL;
	struct descriptor top = {0};
	ok(remote_new(store, cfg, &r));
	struct err *e = remote_pull(r, &ref, &(struct remote_pull_options){.all_platforms = true}, &io, &top);
	remote_free(r);
	return e;
}

static struct err *pull(unsigned tries)
{
	return pull_with(&(struct remote_config){
		.retries = tries, .backoff = 1000000, .auth_file = "/nonexistent/auth.json"});
}

static bool is_big(struct fake *f, struct http_exchange *x)
{
	return cstr_eq(http_method(x), "GET") && fake_blob_of(f, http_path(x)) == &f->image->layers[0];
}

static bool nothing_of_big(void)
{
	int64_t size;
	ok(store_blob_stat(store, &image.layer_descriptors[0].digest, &size));
	return size == -1;
}

/* ---- bodies that break off ---- */

struct part {
	const struct buf *bytes;
	size_t at, end;
};

/* Ends the connection in the middle of the body. */
static struct err *next_part(void *ctx, void *p, size_t *len)
{
	struct part *part = ctx;
	size_t n = part->end - part->at < *len ? part->end - part->at : *len;
	if (n == 0)
		return err_new(ERR_UNAVAILABLE, "the test cuts it here");
	memcpy(p, part->bytes->ptr + part->at, n);
	part->at += n;
	*len = n;
	return NULL;
}

static bool truncate_big(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!is_big(f, x) || f->left-- <= 0)
		return false;
	const struct buf *b = &f->image->layers[0];
	size_t from = http_header(x, "Range") ? strtoull(http_header(x, "Range") + 6, NULL, 10) : 0;
	AUTO_FREE char *range = mem_printf("bytes %zu-%zu/%zu", from, b->len - 1, b->len);
	if (from)
		http_set_header(x, "Content-Range", range);
	struct part *part = mem_new(struct part);
	*part = (struct part){.bytes = b, .at = from, .end = from + (1 << 20)};
	http_answer_stream(x, from ? 206 : 200, next_part, free, part);
	return true;
}

static void test_resume(void **state)
{
	(void)state;
	fake.hook = truncate_big;
	fake.left = 4;
	/* Each try makes headway, so two tries in a row are enough. */
	ok(pull(2));
	image_check(store, &image);
	assert_int_equal(fake_count(&fake, "range=bytes="), 4);
}

/* What a try that gave up has brought is there for another process. */
static void test_resume_later(void **state)
{
	(void)state;
	fake.hook = truncate_big;
	fake.left = 1;
	refused(pull(1), ERR_UNAVAILABLE, "fetching blob sha256:");
	assert_true(nothing_of_big());
	ok(pull(1));
	image_check(store, &image);
	assert_int_equal(fake_count(&fake, "range=bytes="), 1);
	assert_int_equal(fake_count(&fake, "range=bytes=0-"), 0);
}

static bool ignore_range(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	if (truncate_big(f, x, body))
		return true;
	if (!is_big(f, x))
		return false;
	const struct buf *b = &f->image->layers[0];
	http_answer_file(x, 200, fake_file(b->ptr, b->len), 0, b->len);
	return true;
}

static void test_range_ignored(void **state)
{
	(void)state;
	fake.hook = ignore_range;
	fake.left = 1;
	ok(pull(3));
	image_check(store, &image);
	assert_int_equal(fake_count(&fake, "range=bytes="), 1);
}

static bool wrong_range(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	if (truncate_big(f, x, body))
		return true;
	if (!is_big(f, x) || !http_header(x, "Range"))
		return false;
	const struct buf *b = &f->image->layers[0];
	http_set_header(x, "Content-Range", "bytes 5-9/10");
	http_answer_file(x, 206, fake_file(b->ptr, b->len), 5, 5);
	return true;
}

static void test_range_wrong(void **state)
{
	(void)state;
	fake.hook = wrong_range;
	fake.left = 1;
	ok(pull(4));
	image_check(store, &image);
}

/* A partial file whose bytes are wrong is not blamed on the registry: it is fetched anew. */
static void test_bad_partial(void **state)
{
	(void)state;
	char text[DIGEST_TEXT_MAX];
	struct store_partial *p = NULL;
	AUTO_FREE char *name = mem_printf("pull-%s", digest_text(&image.layer_descriptors[0].digest, text));
	ok(store_partial_open(store, name, true, &p));
	ok(store_partial_append(p, "these are not its first bytes", 29));
	store_partial_close(p);
	ok(pull(2));
	image_check(store, &image);
	assert_int_equal(fake_count(&fake, "range=bytes=29-"), 1);
}

/* ---- bytes that are wrong ---- */

static bool alter_big(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!is_big(f, x))
		return false;
	AUTO_BUF struct buf b = {0};
	buf_addstr(&b, buf_str(&f->image->layers[0]));
	b.ptr[b.len / 2] ^= 1;
	http_answer_file(x, 200, fake_file(b.ptr, b.len), 0, b.len);
	return true;
}

static bool alter_small(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!cstr_eq(http_method(x), "GET") || fake_blob_of(f, http_path(x)) != &f->image->layers[1])
		return false;
	AUTO_BUF struct buf b = {0};
	buf_addstr(&b, buf_str(&f->image->layers[1]));
	b.ptr[b.len / 2] ^= 1;
	http_answer(x, 200, buf_str(&b));
	return true;
}

static struct err *endless(void *ctx, void *p, size_t *len)
{
	(void)ctx;
	memset(p, 'x', *len);
	return NULL;
}

static bool endless_blob(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!is_big(f, x))
		return false;
	http_answer_stream(x, 200, endless, NULL, NULL);
	return true;
}

static bool short_blob(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!is_big(f, x))
		return false;
	fake_answer(x, 200, "short");
	return true;
}

static bool alter_manifest(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	char text[DIGEST_TEXT_MAX];
	if (!strstr(http_path(x), "/manifests/"))
		return false;
	http_set_header(x, "Content-Type", MEDIA_OCI_MANIFEST);
	http_set_header(x, "Docker-Content-Digest", digest_text(&f->image->descriptor.digest, text));
	AUTO_BUF struct buf b = {0};
	buf_addstr(&b, buf_str(&f->image->manifest));
	b.ptr[b.len - 1] = ' ';
	http_answer(x, 200, buf_str(&b));
	return true;
}

static void test_wrong_bytes(void **state)
{
	(void)state;
	const struct {
		bool (*hook)(struct fake *f, struct http_exchange *x, const struct buf *body);
		const char *part;
	} cases[] = {
		{alter_manifest, "and should be sha256:"}, /* first: later it is in the store */
		{alter_big, "sha256:"},
		{endless_blob, "more bytes come than the 6291456"},
		{short_blob, "the registry has 5 bytes and the manifest names 6291456"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		fake.hook = cases[i].hook;
		refused(pull(2), ERR_CORRUPT, cases[i].part);
		assert_true(nothing_of_big());
	}
	fake.hook = NULL;
	ok(pull(2));
	image_check(store, &image);
}

static void test_wrong_small(void **state)
{
	(void)state;
	int64_t size;
	fake.hook = alter_small;
	refused(pull(2), ERR_CORRUPT, "the bytes are sha256:");
	ok(store_blob_stat(store, &image.layer_descriptors[1].digest, &size));
	assert_int_equal(size, -1);
}

/* ---- refusals that pass, and that do not ---- */

static bool busy(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!strstr(http_path(x), "/manifests/") || f->left-- <= 0)
		return false;
	http_set_header(x, "Retry-After", f->text);
	fake_answer_error(x, 429, "TOOMANYREQUESTS");
	return true;
}

static void test_retry_after(void **state)
{
	(void)state;
	fake.hook = busy;
	fake.left = 1;
	fake.text = "1";
	int64_t start = clock_monotonic();
	ok(pull(3));
	assert_true(clock_monotonic() - start >= CLOCK_SECOND);
	fake.left = 1;
	fake.text = "9999";
	refused(pull(3), ERR_UNAVAILABLE, "asks to wait 2h47m");
	fake.left = 99;
	fake.text = "0";
	refused(pull(3), ERR_UNAVAILABLE, "the answer is 429");
}

static bool flaky(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!is_big(f, x) || f->left-- <= 0)
		return false;
	fake_answer(x, 503, "<html>bad gateway</html>");
	return true;
}

static void test_unavailable(void **state)
{
	(void)state;
	fake.hook = flaky;
	fake.left = 2;
	ok(pull(3));
	image_check(store, &image);
}

static bool html(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	(void)body;
	http_set_header(x, "Content-Type", "text/html");
	fake_answer(x, 418, "<!DOCTYPE html><title>\033[31mlogin</title>");
	return true;
}

static bool plain_403(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	(void)body;
	fake_answer_error(x, 403, "DENIED");
	return true;
}

static void test_messages(void **state)
{
	(void)state;
	fake.hook = html;
	refused(pull(2), ERR_INVALID, "a page of HTML");
	fake.hook = plain_403;
	AUTO_FREE char *url = mem_printf(
		"GET http://%s/v2/team/app/manifests/v1: the answer is 403, DENIED: as the test wants",
		fake.host);
	refused(pull(2), ERR_DENIED, url);
	refused(pull(2), ERR_DENIED, "log in with 'cooper login 127.0.0.1:");
}

/* ---- other hosts ---- */

static bool redirect_blobs(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!http_header(x, "Authorization")) {
		http_set_header(x, "WWW-Authenticate", "Basic realm=\"t\"");
		fake_answer_error(x, 401, "UNAUTHORIZED");
		return true;
	}
	if (!fake_blob_of(f, http_path(x)))
		return false;
	AUTO_FREE char *location = mem_printf("http://%s%s?signature=x", f->other->host, http_path(x));
	http_set_header(x, "Location", location);
	fake_answer(x, 307, "");
	return true;
}

static void test_redirect(void **state)
{
	(void)state;
	AUTO_FREE char *text = mem_printf("{\"auths\":{\"%s\":{\"auth\":\"dTpw\"}}}", fake.host);
	AUTO_FREE char *auth = fixture_file("redirect.json", text);
	fake.hook = redirect_blobs;
	ok(pull_with(&(struct remote_config){.auth_file = auth, .retries = 2, .backoff = 1000000}));
	image_check(store, &image);
	assert_true(fake_count(&fake, "auth=Basic dTpw") >= 2);
	assert_true(fake_count(&second, "GET /v2/team/app/blobs/") >= 3);
	assert_int_equal(fake_count(&second, "auth="), 0);
}

/* A storage host that asks for a password does not get one. */
static bool ask_always(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)f;
	(void)body;
	http_set_header(x, "WWW-Authenticate", "Basic realm=\"give\"");
	fake_answer_error(x, 401, "UNAUTHORIZED");
	return true;
}

static void test_redirect_asks(void **state)
{
	(void)state;
	AUTO_FREE char *text =
		mem_printf("{\"auths\":{\"%s\":{\"auth\":\"dTpw\"},\"%s\":{\"auth\":\"YTpi\"}}}", fake.host,
			second.host);
	AUTO_FREE char *auth = fixture_file("asks.json", text);
	fake.hook = redirect_blobs;
	second.hook = ask_always;
	refused(pull_with(&(struct remote_config){.auth_file = auth, .retries = 2, .backoff = 1000000}),
		ERR_DENIED, second.host);
	assert_int_equal(fake_count(&second, "auth="), 0);
}

static void test_mirrors(void **state)
{
	(void)state;
	AUTO_FREE char *path = mem_printf("%s/cache", second.host);
	const char *const mirrors[] = {"127.0.0.1:1", path, NULL};
	const struct remote_host host = {.host = "registry.invalid", .mirrors = mirrors};
	reference_fini(&ref);
	ok(reference_parse("registry.invalid/team/app:v1", true, &ref));
	const struct remote_config cfg = {.hosts = &host,
		.host_count = 1,
		.retries = 2,
		.backoff = 1000000,
		.auth_file = "/nonexistent/a"};
	ok(pull_with(&cfg));
	image_check(store, &image);
	assert_true(fake_count(&second, " /v2/cache/team/app/") >= 5);
	/* The mirror lacks it: the registry itself is asked, and its failure is the one told. */
	reference_fini(&ref);
	ok(reference_parse("registry.invalid/team/app:v2", true, &ref));
	refused(pull_with(&cfg), ERR_UNAVAILABLE, "registry.invalid");
}

/* A host that is not known to be loopback (written so that only the resolver sees it) is never spoken to in
 * the clear unasked. */
static void test_plain_http(void **state)
{
	(void)state;
	AUTO_FREE char *host = mem_printf("2130706433:%u", http_server_port(fake.server));
	AUTO_FREE char *text = mem_printf("%s/team/app:v1", host);
	struct remote_host setting = {.host = host};
	const struct remote_config cfg = {.hosts = &setting, .host_count = 1, .auth_file = "/nonexistent/a"};
	reference_fini(&ref);
	ok(reference_parse(text, true, &ref));
	refused(pull_with(&cfg), ERR_INVALID, "{plain-http: true}");
	assert_int_equal(fake_count(&fake, "/v2/"), 0);
	setting.plain_http = true;
	ok(pull_with(&cfg));
	image_check(store, &image);
}

/* ---- cancel ---- */

static struct err *slow(void *ctx, void *p, size_t *len)
{
	(void)ctx;
	usleep(50000);
	memset(p, 'x', 1);
	*len = 1;
	return NULL;
}

static bool slow_blob(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	if (!is_big(f, x))
		return false;
	http_answer_stream(x, 200, slow, NULL, NULL);
	return true;
}

static void *cancel_soon(void *arg)
{
	usleep(200000);
	cancel_set(arg);
	return NULL;
}

static void test_cancel(void **state)
{
	(void)state;
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	AUTO(remote_freep) struct remote *r = NULL;
	struct descriptor top = {0};
	pthread_t thread;
	fake.hook = slow_blob;
	ok(remote_new(store, NULL, &r));
	pthread_create(&thread, NULL, cancel_soon, cancel);
	int64_t start = clock_monotonic();
	refused(remote_pull(r, &ref, &(struct remote_pull_options){.all_platforms = true},
			&(struct transfer_io){.cancel = cancel}, &top),
		ERR_CANCELED, "");
	assert_true(clock_monotonic() - start < 20 * CLOCK_SECOND);
	pthread_join(thread, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_resume),
		TEST(test_resume_later),
		TEST(test_range_ignored),
		TEST(test_range_wrong),
		TEST(test_bad_partial),
		TEST(test_wrong_bytes),
		TEST(test_wrong_small),
		TEST(test_retry_after),
		TEST(test_unavailable),
		TEST(test_messages),
		TEST(test_redirect),
		TEST(test_redirect_asks),
		TEST(test_mirrors),
		TEST(test_plain_http),
		TEST(test_cancel),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
