/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of cases: lines of fields split by '|'; '#' starts a comment line. Needs -DCASE_DIR. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TABLE_FIELDS 8

typedef void table_fn(char *const field[TABLE_FIELDS]);

static inline void each_line(const char *file, table_fn *fn)
{
	AUTO_BUF struct buf text = {0};
	AUTO_FREE char *path = mem_printf("%s/%s", CASE_DIR, file);
	assert_null(file_read(AT_FDCWD, path, 1 << 20, &text));
	struct str rest = buf_str(&text), line;
	size_t count = 0;
	while (str_split(&rest, '\n', &line)) {
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		char *field[TABLE_FIELDS] = {0};
		struct str f;
		size_t n = 0;
		while (n < TABLE_FIELDS && str_split(&line, '|', &f))
			field[n++] = mem_strndup(f.ptr, f.len);
		fn(field);
		count++;
		for (size_t i = 0; i < n; i++)
			free(field[i]);
	}
	assert_true(count > 0);
}

static inline void assert_fails_with(struct err *e, const char *wanted, const char *input)
{
	if (!e)
		fail_msg("\"%s\" was taken", input);
	AUTO_FREE char *text = err_text(e);
	if (!strstr(text, wanted))
		fail_msg("\"%s\": \"%s\" does not say \"%s\"", input, text, wanted);
	err_free(e);
}

static inline void assert_ok(struct err *e)
{
	if (!e)
		return;
	AUTO_FREE char *text = err_trace(e);
	fail_msg("%s", text);
}
