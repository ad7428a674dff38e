/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser over tables of its own: the names below stand in for those of src/cli/cmds.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/command.h"

#include <string.h>

struct args {
	bool force, dry;
	const char *file;
	struct strvec tags;
	uint64_t jobs;
};

#define OPT(field) offsetof(struct args, field)
static const struct option options[] = {
	{"force", 'f', OPTION_FLAG, NULL, OPT(force), ""},
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry), ""},
	{"output", 'o', OPTION_TEXT, "FILE", OPT(file), ""},
	{"tag", 't', OPTION_LIST, "REF", OPT(tags), ""},
	{"jobs", 'j', OPTION_NUMBER, "N", OPT(jobs), ""},
};

#define GLOBAL(field) offsetof(struct global_args, field)
const struct option global_options[] = {
	{"help", 'h', OPTION_FLAG, NULL, GLOBAL(help), ""},
	{"verbose", 'v', OPTION_FLAG, NULL, GLOBAL(verbose), ""},
	{"home", 0, OPTION_TEXT, "DIR", GLOBAL(home), ""},
};
const size_t global_option_count = ARRAY_LEN(global_options);

static const struct command make = {.name = "make",
	.operands = "SOURCE [DEST]",
	.min = 1,
	.max = 2,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct args)};
static const struct command store_ls = {.name = "store ls"}, store_rm = {.name = "store rm"},
			    store = {.name = "stores"};
const struct command *const hidden_commands[] = {NULL};
const struct command *const commands[] = {&make, &store_ls, &store_rm, &store, NULL};

/* One parsed line. */
struct parsed {
	struct args args;
	struct global_args globals;
	struct strvec operands;
	struct err *e;
};

static void parsed_fini(struct parsed *p)
{
	command_args_fini(&make, &p->args);
	strvec_fini(&p->operands);
	err_free(p->e);
}

static struct err *parse(struct parsed *p, const char *const *argv)
{
	return command_parse(&make, (char *const *)argv, &p->globals, &p->args, &p->operands);
}

#define PARSE(p, ...)                            \
	AUTO(parsed_fini) struct parsed p = {0}; \
	p.e = parse(&p, (const char *const[]){__VA_ARGS__, NULL})

static void refused(const struct parsed *p, const char *message, const char *hint)
{
	assert_non_null(p->e);
	AUTO_FREE char *text = err_text(p->e);
	assert_int_equal(err_kind(p->e), ERR_USAGE);
	assert_string_equal(text, message);
	if (hint)
		assert_string_equal(err_hint_text(p->e), hint);
	else
		assert_null(err_hint_text(p->e));
}

static void test_long(void **state)
{
	(void)state;
	PARSE(p, "--force", "--output", "x", "src", "--tag=a:1", "--tag", "b=c", "--jobs=12");
	assert_null(p.e);
	assert_true(p.args.force && !p.args.dry);
	assert_string_equal(p.args.file, "x");
	assert_int_equal(p.args.tags.len, 2);
	assert_string_equal(p.args.tags.ptr[0], "a:1");
	assert_string_equal(p.args.tags.ptr[1], "b=c");
	assert_int_equal(p.args.jobs, 12);
	assert_int_equal(p.operands.len, 1);
	assert_string_equal(p.operands.ptr[0], "src");
}

static void test_letters(void **state)
{
	(void)state;
	PARSE(p, "-fnofile", "-j", "3", "-t", "a", "-tb", "src");
	assert_null(p.e);
	assert_true(p.args.force && p.args.dry);
	assert_string_equal(p.args.file, "file");
	assert_int_equal(p.args.jobs, 3);
	assert_int_equal(p.args.tags.len, 2);
	assert_string_equal(p.args.tags.ptr[1], "b");
}

static void test_values_that_look_like_options(void **state)
{
	(void)state;
	PARSE(p, "-o", "-", "-t", "--force", "--tag=", "src");
	assert_null(p.e);
	assert_string_equal(p.args.file, "-");
	assert_string_equal(p.args.tags.ptr[0], "--force");
	assert_string_equal(p.args.tags.ptr[1], "");
	assert_false(p.args.force);
}

static void test_last_one_counts(void **state)
{
	(void)state;
	PARSE(p, "-o", "a", "src", "--output=b", "--force", "--force");
	assert_null(p.e);
	assert_string_equal(p.args.file, "b");
	assert_true(p.args.force);
}

static void test_operands(void **state)
{
	(void)state;
	PARSE(dash, "-", "--", "--force");
	assert_null(dash.e);
	assert_int_equal(dash.operands.len, 2);
	assert_string_equal(dash.operands.ptr[0], "-");
	assert_string_equal(dash.operands.ptr[1], "--force");
	assert_false(dash.args.force);
	PARSE(twice, "--", "--");
	assert_null(twice.e);
	assert_string_equal(twice.operands.ptr[0], "--");
	PARSE(none, "--force");
	refused(&none, "cooper make: an operand is missing", "usage: cooper make [OPTION...] SOURCE [DEST]");
	PARSE(many, "a", "b", "c");
	refused(&many, "cooper make: too many operands", "usage: cooper make [OPTION...] SOURCE [DEST]");
}

static void test_globals(void **state)
{
	(void)state;
	PARSE(p, "src", "--home", "/s", "-vf");
	assert_null(p.e);
	assert_true(p.globals.verbose && p.args.force);
	assert_string_equal(p.globals.home, "/s");
	/* who asks for help has not to name operands */
	PARSE(help, "--help");
	assert_null(help.e);
	assert_true(help.globals.help);
}

static void test_unknown(void **state)
{
	(void)state;
	PARSE(near, "--ouput=x", "src");
	refused(&near, "cooper make: unknown option --ouput=x", "did you mean --output?");
	PARSE(global, "--hoem", "src");
	refused(&global, "cooper make: unknown option --hoem", "did you mean --home?");
	PARSE(far, "--something-else", "src");
	refused(&far, "cooper make: unknown option --something-else", "see: cooper make --help");
	PARSE(letter, "-fx", "src");
	refused(&letter, "cooper make: unknown option -fx", "see: cooper make --help");
	PARSE(prefix, "--forc", "src");
	refused(&prefix, "cooper make: unknown option --forc", "did you mean --force?");
}

static void test_bad_values(void **state)
{
	(void)state;
	PARSE(flag, "--force=yes", "src");
	refused(&flag, "cooper make: --force takes no value", NULL);
	PARSE(last, "src", "--output");
	refused(&last, "cooper make: --output needs a value: FILE", "see: cooper make --help");
	PARSE(letter, "src", "-fo");
	refused(&letter, "cooper make: --output needs a value: FILE", "see: cooper make --help");
	static const char *const numbers[] = {"many", "", "-1", "1.5", "18446744073709551616", "0x10"};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		PARSE(number, "--jobs", numbers[i], "src");
		AUTO_FREE char *want =
			mem_printf("cooper make: --jobs takes a number, not \"%s\"", numbers[i]);
		refused(&number, want, NULL);
	}
}

static void test_find(void **state)
{
	(void)state;
	static const struct {
		const char *argv[4];
		const struct command *want;
		size_t words;
	} table[] = {
		{{"make", "x"}, &make, 1},
		{{"store", "rm", "x"}, &store_rm, 2},
		{{"store", "ls"}, &store_ls, 2},
		{{"stores", "ls"}, &store, 1},
		{{"store"}, NULL, 0},
		{{"store", "rmx"}, NULL, 0},
		{{"stor", "rm"}, NULL, 0},
		{{"mak"}, NULL, 0},
		{{""}, NULL, 0},
		{{NULL}, NULL, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		size_t words = 99;
		assert_ptr_equal(command_find((char *const *)table[i].argv, &words), table[i].want);
		assert_int_equal(words, table[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_values_that_look_like_options),
		cmocka_unit_test(test_last_one_counts),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_globals),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
