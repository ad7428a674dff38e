/* SPDX-License-Identifier: Apache-2.0 */
/* Case files: a line with the kind, one with what is expected, "---", then the text. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "sys/file.h"

#include <fcntl.h>

struct test_case {
	char *name;
	char *kind, *expect;
	struct str text; /* of content */
	struct buf content;
};

typedef void case_fn(const struct test_case *c);

static inline void each_case(const char *dir, case_fn *fn)
{
	AUTO_STRVEC struct strvec names = {0};
	assert_null(dir_list(AT_FDCWD, dir, &names));
	assert_true(names.len > 0);
	for (size_t i = 0; i < names.len; i++) {
		struct test_case c = {.name = names.ptr[i]};
		AUTO_FREE char *path = mem_printf("%s/%s", dir, c.name);
		assert_null(file_read(AT_FDCWD, path, 1 << 20, &c.content));
		struct str rest = buf_str(&c.content), kind = {0}, expect = {0}, sep = {0};
		assert_true(str_split(&rest, '\n', &kind) && str_split(&rest, '\n', &expect) &&
			    str_split(&rest, '\n', &sep));
		assert_true(str_eq_c(sep, "---"));
		c.kind = mem_strndup(kind.ptr, kind.len);
		c.expect = mem_strndup(expect.ptr, expect.len);
		c.text = rest.ptr ? rest : STR("");
		print_message("%s\n", c.name);
		fn(&c);
		mem_freep(&c.kind);
		mem_freep(&c.expect);
		buf_fini(&c.content);
	}
}
