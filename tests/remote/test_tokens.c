/* SPDX-License-Identifier: Apache-2.0 */
/* How long tokens are good for. */
#include "base/clock.h"
#include "base/mem.h"
#include "fake.h"
#include "remote/remote_internal.h"
#include "remote/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct test_image image;
static struct fake fake;
static struct store *store;
static struct remote *remote;
static struct reference ref;
static const struct transfer_io io;

static int setup(void **state)
{
	(void)state;
	(void)fixture_start();
	image_make(&image, 8);
	fake_start(&fake, &image);
	store = fixture_store("s");
	AUTO_FREE char *text = mem_printf("%s/team/app:v1", fake.host);
	ok(reference_parse(text, true, &ref));
	ok(remote_new(store, &(struct remote_config){.auth_file = "/nonexistent/auth.json"}, &remote));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remote_free(remote);
	reference_fini(&ref);
	store_close(store);
	fake_stop(&fake);
	image_fini(&image);
	fixture_end();
	return 0;
}

/* text: what the token server says. left: how often it was asked; only the latest token is good. */
static bool gives_tokens(struct fake *f, struct http_exchange *x, const struct buf *body)
{
	(void)body;
	const char *auth = http_header(x, "Authorization");
	if (cstr_eq(http_path(x), "/token")) {
		f->left++;
		AUTO_FREE char *text = mem_printf("{\"token\":\"t%d\"%s}", f->left, f->text);
		fake_answer(x, 200, text);
		return true;
	}
	AUTO_FREE char *good = mem_printf("Bearer t%d", f->left);
	if (f->left && cstr_eq(auth, good))
		return false;
	AUTO_FREE char *challenge = mem_printf("Bearer realm=\"http://%s/token\"", f->host);
	http_set_header(x, "WWW-Authenticate", challenge);
	fake_answer_error(x, 401, "UNAUTHORIZED");
	return true;
}

/* Of a token that the server describes so, in seconds: nine tenths of what it says. */
static void check_lifetime(struct route *route, const char *more, int64_t seconds)
{
	AUTO_FREE char *base = mem_printf("http://%s", fake.host), *realm = mem_printf("%s/token", base);
	const struct challenge challenge = {.scheme = CHALLENGE_BEARER, .realm = realm};
	const struct strvec scopes = {0};
	const struct credential nobody = {0};
	const struct token_request rq = {.endpoint = route->endpoint,
		.base = base,
		.challenge = &challenge,
		.scopes = &scopes,
		.credential = &nobody,
		.io = &io};
	struct token *t = mem_new(struct token);
	fake.text = more;
	int64_t before = clock_monotonic();
	ok(token_fetch(&rq, t));
	int64_t after = clock_monotonic();
	if (t->expires < before + seconds * CLOCK_SECOND || t->expires > after + seconds * CLOCK_SECOND)
		fail_msg("'%s' is good for other than %lld s", more, (long long)seconds);
	token_free(t);
}

static void test_lifetimes(void **state)
{
	(void)state;
	const struct {
		const char *more;
		int64_t seconds;
	} cases[] = {
		{"", 54},
		{",\"expires_in\":0", 54},
		{",\"expires_in\":-7", 54},
		{",\"expires_in\":59", 54},
		{",\"expires_in\":\"soon\"", 54},
		{",\"expires_in\":120", 108},
		{",\"expires_in\":3600", 3240},
		{",\"expires_in\":86401", 77760},
		{",\"expires_in\":9223372036854775807", 77760},
	};
	AUTO(route_fini) struct route route = {0};
	ok(route_for_push(remote, &ref, &route));
	fake.hook = gives_tokens;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_lifetime(&route, cases[i].more, cases[i].seconds);
}

/* As if the time of the only token were over. */
static void expire(void)
{
	AUTO(route_fini) struct route route = {0};
	ok(route_for_push(remote, &ref, &route));
	size_t i = 0;
	struct str key;
	void *value;
	assert_int_equal(map_len(route.endpoint->tokens), 1);
	assert_true(map_next(route.endpoint->tokens, &i, &key, &value));
	((struct token *)value)->expires = clock_monotonic();
}

/* One that is known to be over is not shown to the registry again. */
static void test_renewal(void **state)
{
	(void)state;
	struct descriptor d = {0};
	fake.left = 0;
	fake.text = ",\"expires_in\":300";
	fake.hook = gives_tokens;
	for (int i = 0; i < 3; i++)
		ok(remote_resolve(remote, &ref, &io, &d));
	assert_int_equal(fake.left, 1);
	assert_int_equal(fake_count(&fake, "auth=Bearer t1"), 3);
	expire();
	ok(remote_resolve(remote, &ref, &io, &d));
	assert_int_equal(fake.left, 2);
	assert_int_equal(fake_count(&fake, "auth=Bearer t1"), 3);
	assert_int_equal(fake_count(&fake, "auth=Bearer t2"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lifetimes),
		cmocka_unit_test(test_renewal),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
