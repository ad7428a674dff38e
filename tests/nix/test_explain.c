/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../repo/cases.h"
#include "nix/nix_internal.h"

#include <string.h>

/* "kind" is the error that is wanted, "expect" its hint; "-" for none. */
static void check(const struct test_case *c)
{
	const struct nix_request rq = {.root = "/r", .file = "containers/x/default.nix"};
	struct err *why = err_with_exit_code(err_new(ERR_EXITED, "nix-build ended with status 1"), 1);
	struct err *e = nix_explain(c->text, &rq, why);
	AUTO_FREE char *text = err_text(e);
	const char *hint = err_hint_text(e);
	assert_string_equal(text, c->kind);
	assert_string_equal(hint ? hint : "-", c->expect);
	assert_true(err_kind(e) == ERR_INVALID || err_exit_code(e) == 1);
	err_free(e);
}

static void cases(void **state)
{
	(void)state;
	each_case(CASES_DIR "/cases", check);
}

/* What is not Nix's failure stays what it is. */
static void others(void **state)
{
	(void)state;
	const struct nix_request rq = {.root = "/r", .file = "f"};
	assert_null(nix_explain(STR("error: x"), &rq, NULL));
	struct err *e = nix_explain(STR("error: x"), &rq, err_new(ERR_CANCELED, "stopped"));
	assert_int_equal(err_kind(e), ERR_CANCELED);
	assert_string_equal(err_message(e), "stopped");
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cases), cmocka_unit_test(others)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
