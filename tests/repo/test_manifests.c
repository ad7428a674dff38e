/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Case files of sections that begin with "=== name arguments":
 *   scan/    "file PATH" and "want": a line a pin ("line:column form name tag@digest ! problem") or problem
 *   edit/    "file PATH", "change" (lines "name tag [digest] [env]", for each pin of that name) and "after"
 *   reject/  "file PATH", "change" and "refused": what the message must hold
 * PATH may be followed by "crlf" (lines end so) and "chopped" (no newline at the end). The prefix is
 * "reg/ns/".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "repo/manifests.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "reg/ns/"

struct sections {
	struct strvec names, arguments;
	struct vec texts; /* of struct buf */
};

static void sections_fini(struct sections *s)
{
	strvec_fini(&s->names);
	strvec_fini(&s->arguments);
	for (size_t i = 0; i < s->texts.len; i++)
		buf_fini(vec_at(&s->texts, i));
	vec_fini(&s->texts);
}

static void read_sections(const char *path, struct sections *s)
{
	AUTO_BUF struct buf all = {0};
	assert_null(file_read(AT_FDCWD, path, 1 << 20, &all));
	s->texts = VEC_OF(struct buf);
	struct str rest = buf_str(&all), line;
	while (str_split(&rest, '\n', &line)) {
		if (str_starts(line, "=== ")) {
			struct str args = str_skip(line, 4), name;
			str_split(&args, ' ', &name);
			strvec_push_str(&s->names, name);
			strvec_push_str(&s->arguments, args.ptr ? args : STR(""));
			vec_push(&s->texts);
		} else if (rest.ptr) {
			struct buf *b = vec_at(&s->texts, s->texts.len - 1);
			buf_addf(b, STR_FMT "\n", STR_ARG(line));
		}
	}
}

/* A section as the file of the case is to be: with its line ends. */
static void shape(const char *arguments, struct buf *text)
{
	if (strstr(arguments, " chopped"))
		buf_truncate(text, text->len - 1);
	if (!strstr(arguments, " crlf"))
		return;
	AUTO_BUF struct buf lines = {0};
	for (size_t i = 0; i < text->len; i++)
		buf_addf(&lines, "%s%c", text->ptr[i] == '\n' ? "\r" : "", text->ptr[i]);
	buf_clear(text);
	buf_addstr(text, buf_str(&lines));
}

static struct buf *section(struct sections *s, size_t i, const char *name)
{
	assert_true(i < s->names.len);
	assert_string_equal(s->names.ptr[i], name);
	return vec_at(&s->texts, i);
}

static void add_scan(const struct manifest_scan *s, const char *path, struct buf *out)
{
	for (size_t i = 0; i < s->pins.len; i++) {
		const struct pin *p = vec_at(&s->pins, i);
		assert_string_equal(p->file, path);
		AUTO_FREE char *image = mem_printf(PREFIX "%s", p->name);
		assert_string_equal(p->image, image);
		buf_addf(out, "%u:%u", p->line, p->column);
		if (p->document)
			buf_addf(out, "#%u", p->document);
		buf_addf(out, " %s %s %s", pin_form_name(p->form), p->name, p->tag ? p->tag : "");
		if (p->digest)
			buf_addf(out, "@%s", p->digest);
		if (p->problem) {
			assert_true(cstr_starts(p->problem, path));
			buf_addf(out, " %s %s", p->repairable ? "?" : "!", p->problem + strlen(path) + 1);
		}
		buf_adds(out, "\n");
	}
	for (size_t i = 0; i < s->problems.len; i++) {
		const struct manifest_problem *p = vec_at(&s->problems, i);
		assert_string_equal(p->file, path);
		const char *text = p->text + (cstr_starts(p->text, path) ? strlen(path) + 1 : 0);
		buf_addf(out, "problem %u: %s\n", p->line, text);
	}
}

static char *path_of(const struct sections *s)
{
	return mem_strndup(s->arguments.ptr[0], strcspn(s->arguments.ptr[0], " "));
}

static void scan(struct str text, const char *path, struct manifest_scan *out)
{
	*out = (struct manifest_scan){0};
	assert_null(manifest_scan_text(text, path, "svc", PREFIX, out));
}

static unsigned failures;

/* Goes on after a failure, so that all are seen at once. */
static void compare(const char *got, const char *want)
{
	if (cstr_eq(got, want))
		return;
	print_error("got:\n%s\nexpected:\n%s\n", got, want);
	failures++;
}

static void scan_case(struct sections *s)
{
	AUTO_FREE char *path = path_of(s);
	struct buf *text = section(s, 0, "file"), *want = section(s, 1, "want");
	shape(s->arguments.ptr[0], text);
	AUTO(manifest_scan_fini) struct manifest_scan found;
	scan(buf_str(text), path, &found);
	AUTO_BUF struct buf got = {0};
	add_scan(&found, path, &got);
	compare(buf_cstr(&got), buf_cstr(want));
}

/* Changes of the case; their texts are in words. */
static void read_changes(
	struct str lines, const struct manifest_scan *found, struct vec *out, struct strvec *words)
{
	struct str line;
	while (str_split(&lines, '\n', &line)) {
		AUTO_FREE char *copy = mem_strndup(line.ptr, line.len);
		char name[100] = "", tag[200] = "", digest[200] = "", env[10] = "";
		sscanf(copy, "%99s %199s %199s %9s", name, tag, digest, env);
		if (!*name)
			continue;
		strvec_push(words, tag);
		strvec_push(words, digest);
		const char *t = words->ptr[words->len - 2], *d = words->ptr[words->len - 1];
		for (size_t i = 0; i < found->pins.len; i++) {
			const struct pin *p = vec_at(&found->pins, i);
			if (cstr_eq(p->name, name))
				vec_push_copy(out, &(struct pin_change){.pin = p,
							   .tag = t,
							   .digest = cstr_starts(d, "sha256:") ? d : NULL,
							   .env = cstr_eq(env, "env") || cstr_eq(d, "env")});
		}
	}
	assert_true(out->len > 0);
}

static struct err *edit(struct sections *s, struct buf *out)
{
	AUTO_FREE char *path = path_of(s);
	struct buf *text = section(s, 0, "file"), *change = section(s, 1, "change");
	shape(s->arguments.ptr[0], text);
	AUTO(manifest_scan_fini) struct manifest_scan found;
	AUTO_STRVEC struct strvec words = {0};
	AUTO(vec_fini) struct vec changes = VEC_OF(struct pin_change);
	scan(buf_str(text), path, &found);
	strvec_push(&words, ""); /* so that the list does not move while it is borrowed from */
	read_changes(buf_str(change), &found, &changes, &words);
	return manifest_edit(buf_str(text), path, PREFIX, changes.ptr, changes.len, out);
}

static void edit_case(struct sections *s)
{
	AUTO_BUF struct buf got = {0};
	AUTO(err_freep) struct err *e = edit(s, &got);
	AUTO_FREE char *why = e ? err_text(e) : NULL;
	compare(why ? why : "", "");
	struct buf *want = section(s, 2, "after");
	shape(s->arguments.ptr[0], want);
	compare(buf_cstr(&got), buf_cstr(want));
}

static void reject_case(struct sections *s)
{
	AUTO_BUF struct buf got = {0};
	AUTO(err_freep) struct err *e = edit(s, &got);
	if (!e) {
		compare(buf_cstr(&got), "an error");
		return;
	}
	assert_int_equal(err_kind(e), ERR_INVALID);
	assert_int_equal(got.len, 0);
	AUTO_FREE char *text = err_text(e);
	AUTO_FREE char *path = path_of(s);
	assert_non_null(strstr(text, path));
	struct str want = str_trim(buf_str(section(s, 2, "refused")));
	if (!memmem(text, strlen(text), want.ptr, want.len))
		compare(text, want.ptr);
}

static void each_case(const char *dir, void (*fn)(struct sections *s))
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FREE char *top = mem_printf("%s/manifests/%s", CASES_DIR, dir);
	assert_null(dir_list(AT_FDCWD, top, &names));
	assert_true(names.len > 0);
	failures = 0;
	for (size_t i = 0; i < names.len; i++) {
		AUTO(sections_fini) struct sections s = {0};
		AUTO_FREE char *path = mem_printf("%s/%s", top, names.ptr[i]);
		print_message("%s/%s\n", dir, names.ptr[i]);
		read_sections(path, &s);
		fn(&s);
	}
	assert_int_equal(failures, 0);
}

static void test_scan(void **state)
{
	(void)state;
	each_case("scan", scan_case);
}

static void test_edit(void **state)
{
	(void)state;
	each_case("edit", edit_case);
}

static void test_reject(void **state)
{
	(void)state;
	each_case("reject", reject_case);
}

/* Texts that are made to cost much: they end soon, with or without a problem. */
static void expect_quick(struct buf *text, const char *problem)
{
	AUTO(manifest_scan_fini) struct manifest_scan found;
	scan(buf_str(text), "m/x/a.yaml", &found);
	assert_int_equal(found.pins.len, 0);
	assert_int_equal(found.problems.len, problem ? 1 : 0);
	if (problem)
		assert_non_null(
			strstr(((struct manifest_problem *)vec_at(&found.problems, 0))->text, problem));
	buf_fini(text);
}

static void test_hostile(void **state)
{
	(void)state;
	struct buf b = {0};
	for (int i = 0; i < 100000; i++)
		buf_addc(&b, '[');
	expect_quick(&b, "1:201: nested too deeply");
	/* merges of merges of merges */
	buf_adds(&b, "d0: &d0 {x: y}\n");
	for (int i = 1; i < 50; i++)
		buf_addf(&b, "d%d: &d%d {<<: [*d%d, *d%d, *d%d, *d%d]}\n", i, i, i - 1, i - 1, i - 1, i - 1);
	buf_adds(&b, "list:\n");
	for (int i = 0; i < 5000; i++)
		buf_adds(&b, "- {<<: [*d49, *d49], name: x}\n");
	expect_quick(&b, NULL);
	buf_adds(&b, "a: [");
	for (int i = 0; i < 500000; i++)
		buf_adds(&b, "b,");
	buf_adds(&b, "]\n");
	expect_quick(&b, "too many values in one file");
	buf_adds(&b, "a: b\n");
	while (b.len <= 8u << 20)
		buf_adds(&b, "# as long as a file may be, and a line more than that\n");
	expect_quick(&b, "larger than 8388608 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_edit),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
