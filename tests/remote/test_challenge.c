/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "remote/challenge.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void add(struct buf *out, const char *text)
{
	buf_addf(out, " %s", text ? text : "-");
}

static void show(struct str value, struct buf *out)
{
	const char *const names[] = {"other", "basic", "bearer"};
	AUTO(challenges_fini) struct vec list = VEC_OF(struct challenge);
	struct err *e = challenge_parse(value, &list);
	if (e) {
		AUTO_FREE char *text = err_text(e);
		fail_msg(STR_FMT ": %s", STR_ARG(value), text);
	}
	for (size_t i = 0; i < list.len; i++) {
		const struct challenge *c = vec_at(&list, i);
		buf_addf(out, "%s%s", i ? ";" : "", names[c->scheme]);
		add(out, c->realm);
		add(out, c->service);
		add(out, c->scope);
		add(out, c->error);
	}
}

static void check_accept(struct str value, struct str want)
{
	AUTO_BUF struct buf got = {0};
	show(value, &got);
	if (str_cmp(buf_str(&got), want) != 0)
		fail_msg(STR_FMT "\n got: %s\nwant: " STR_FMT, STR_ARG(value), buf_cstr(&got), STR_ARG(want));
}

static void check_reject(struct str value, struct str want)
{
	AUTO(challenges_fini) struct vec list = VEC_OF(struct challenge);
	AUTO(err_freep) struct err *e = challenge_parse(value, &list);
	AUTO_FREE char *text = err_text(e);
	AUTO_FREE char *part = mem_strndup(want.ptr, want.len);
	if (err_kind(e) != ERR_INVALID || list.len || !strstr(text, part))
		fail_msg(STR_FMT ": '%s' lacks '%s'", STR_ARG(value), text, part);
}

static void each(const char *file, void (*fn)(struct str value, struct str want))
{
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *path = mem_printf("%s/%s", CASE_DIR, file);
	assert_null(file_read(AT_FDCWD, path, 1 << 20, &text));
	struct str rest = buf_str(&text), line;
	unsigned count = 0;
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t bar = str_index(line, '|');
		if (bar < 0 || line.ptr[0] == '#')
			continue;
		fn(str_n(line.ptr, (size_t)bar), str_skip(line, (size_t)bar + 1));
		count++;
	}
	assert_true(count > 3);
}

static void test_accept(void **state)
{
	(void)state;
	each("cases/challenges.txt", check_accept);
}

static void test_reject(void **state)
{
	(void)state;
	each("reject/challenges.txt", check_reject);
}

static void test_bytes(void **state)
{
	(void)state;
	check_reject(str_n("Basic realm=\"\0\"", 15), STR("NUL"));
	check_reject(STR("Basic realm=\"a\nb\""), STR("control character"));
	AUTO_BUF struct buf big = {0};
	buf_adds(&big, "Basic realm=");
	for (int i = 0; i < 20000; i++)
		buf_addc(&big, 'a');
	check_reject(buf_str(&big), STR("longer than"));
}

static void test_choose(void **state)
{
	(void)state;
	AUTO(challenges_fini) struct vec list = VEC_OF(struct challenge);
	assert_null(challenge_choose(&list));
	assert_null(challenge_parse(STR("Negotiate, Bearer, Basic realm=\"x\""), &list));
	assert_null(challenge_parse(STR("Bearer realm=\"https://t\""), &list));
	/* A bearer challenge without a realm leads nowhere. */
	assert_int_equal(challenge_choose(&list)->scheme, CHALLENGE_BASIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_choose),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
