/* SPDX-License-Identifier: Apache-2.0 */
/* What a runner makes of the address of its git remote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "release/runner_internal.h"

static void test_folders(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		/* address, folder, address without credentials */
		{"https://forge.example/me/lab.git", "lab", "https://forge.example/me/lab.git"},
		{"https://me:secret@forge.example/me/lab/", "lab", "https://forge.example/me/lab/"},
		{"https://a@b@forge.example/lab?x=/y", "lab", "https://forge.example/lab?x=/y"},
		{"ssh://git@forge.example:22/me/lab.git", "lab", "ssh://forge.example:22/me/lab.git"},
		{"git@forge.example:lab.git", "lab", "git@forge.example:lab.git"},
		{"git@forge.example:me/lab", "lab", "git@forge.example:me/lab"},
		{"/srv/git/lab.git", "lab", "/srv/git/lab.git"},
		{"lab", "lab", "lab"},
		{"https://forge.example/x/..", "repository", "https://forge.example/x/.."},
		{"https://forge.example/x/.git", "repository", "https://forge.example/x/.git"},
		{"/", "repository", "/"},
		{"", "repository", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *folder = runner_folder_name(rows[i][0]);
		AUTO_FREE char *url = runner_clean_url(rows[i][0]);
		assert_string_equal(folder, rows[i][1]);
		assert_string_equal(url, rows[i][2]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
