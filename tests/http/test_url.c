/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "http/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
	(void)state;
	const struct {
		const char *text, *scheme, *host, *path, *user;
		uint16_t port;
	} good[] = {
		{"http://a", "http", "a", "/", NULL, 80},
		{"HTTPS://A.Example:8443/x/y?z=1#frag", "https", "a.example", "/x/y?z=1", NULL, 8443},
		{"https://u:p@h/", "https", "h", "/", "u:p", 443},
		{"https://u@x:p@h/", "https", "h", "/", "u@x:p", 443},
		{"http://[::1]:5000?q", "http", "::1", "/?q", NULL, 5000},
		{"http://h:/x", "http", "h", "/x", NULL, 80},
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO(url_fini) struct url u = {0};
		assert_null(url_parse(good[i].text, &u));
		assert_string_equal(u.scheme, good[i].scheme);
		assert_string_equal(u.host, good[i].host);
		assert_string_equal(u.path, good[i].path);
		assert_true(cstr_eq(u.userinfo, good[i].user));
		assert_int_equal(u.port, good[i].port);
	}
	const char *const bad[] = {"", "h", "ftp://h/", "file:///etc/passwd", "http:/h", "http://",
		"http:///x", "http://h:0/", "http://h:65536/", "http://h:x/", "http://[::1/", "http://[x]/",
		"http://[::1]x/", "http://h/a b", "http://h/\r\nX: y", "http://a\\b/", "http://a,b/",
		"http://h:80:90/"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(url_fini) struct url u = {0};
		AUTO(err_freep) struct err *e = url_parse(bad[i], &u);
		if (err_kind(e) != ERR_INVALID)
			fail_msg("accepted %s", bad[i]);
	}
}

static void test_resolve(void **state)
{
	(void)state;
	const char *base = "https://h:5000/v2/a/uploads/id?state=1";
	const struct {
		const char *ref, *want;
	} cases[] = {
		{"/v2/x?y=1", "https://h:5000/v2/x?y=1"},
		{"http://other/z", "http://other/z"},
		{"//other/z", "https://other/z"},
		{"?state=2", "https://h:5000/v2/a/uploads/id?state=2"},
		{"", "https://h:5000/v2/a/uploads/id?state=1"},
		{"next", "https://h:5000/v2/a/uploads/next"},
		{"../../b/./c", "https://h:5000/v2/b/c"},
		{"../../../../../..", "https://h:5000/"},
		{"/a/..", "https://h:5000/"},
		{"/a/b/.", "https://h:5000/a/b/"},
		{"/a b#c", "https://h:5000/a%20b"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *got = NULL;
		assert_null(url_resolve(base, cases[i].ref, &got));
		assert_string_equal(got, cases[i].want);
	}
	const char *const bad[] = {"ftp://x/", "javascript:x", "/a\r\nb", "http://", "///"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *got = NULL;
		AUTO(err_freep) struct err *e = url_resolve(base, bad[i], &got);
		if (!e)
			fail_msg("accepted %s as %s", bad[i], got);
	}
}

static void test_message(void **state)
{
	(void)state;
	const struct {
		const char *url, *want;
	} cases[] = {
		{"https://user:secret@h/p?token=secret", "https://h/p"},
		{"https://user:sec@ret@h", "https://h"},
		{"https://h/a@b", "https://h/a@b"},
		{"nonsense?secret", "nonsense"},
		{"", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *got = url_for_message(cases[i].url);
		assert_string_equal(got, cases[i].want);
	}
	AUTO(url_fini) struct url u = {0};
	AUTO(err_freep) struct err *e = url_parse("ftp://user:secret@h/?secret", &u);
	AUTO_FREE char *text = err_text(e);
	assert_null(strstr(text, "secret"));
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(host_is_loopback("localhost"));
	assert_true(host_is_loopback("x.localhost"));
	assert_true(host_is_loopback("127.0.0.1"));
	assert_true(host_is_loopback("127.200.3.4"));
	assert_true(host_is_loopback("::1"));
	assert_false(host_is_loopback("127.0.0.1.example"));
	assert_false(host_is_loopback("128.0.0.1"));
	assert_false(host_is_loopback("localhost.example"));
	assert_false(host_is_loopback("::2"));
}

static void test_encode(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = {0};
	url_encode(&out, STR("a/b c~-._%\xc3\xa4"));
	assert_string_equal(buf_cstr(&out), "a%2Fb%20c~-._%25%C3%A4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_encode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
