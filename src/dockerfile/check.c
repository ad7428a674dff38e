/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/check.h"

#include "base/mem.h"

#include <string.h>

#define CHECK_PARTS_MAX 3

void check_options_fini(struct check_options *c)
{
	strvec_fini(&c->skip);
	strvec_fini(&c->experimental);
}

static void parse_list(struct str value, struct strvec *out)
{
	struct str item;
	while (str_split(&value, ',', &item))
		if (str_trim(item).len)
			strvec_push_str(out, str_trim(item));
}

static struct err *parse_part(struct str part, struct check_options *out)
{
	static const char *const keys[] = {"skip", "error", "experimental", NULL};
	ptrdiff_t eq = str_index(part, '=');
	if (eq < 0)
		return err_new(ERR_INVALID, "invalid check option \"" STR_FMT "\": must be key=value",
			STR_ARG(part));
	struct str key = str_trim(str_n(part.ptr, (size_t)eq)),
		   value = str_trim(str_skip(part, (size_t)eq + 1));
	if (str_eq_nocase(key, "skip")) {
		parse_list(value, &out->skip);
		return NULL;
	}
	if (str_eq_nocase(key, "experimental")) {
		parse_list(value, &out->experimental);
		return NULL;
	}
	if (str_eq_nocase(key, "error")) {
		out->error = str_eq_nocase(value, "true") || str_eq_c(value, "1");
		if (out->error || str_eq_nocase(value, "false") || str_eq_c(value, "0"))
			return NULL;
		return err_new(ERR_INVALID, "check option error is true or false, not \"" STR_FMT "\"",
			STR_ARG(value));
	}
	char *name AUTO_FREE = mem_strndup(key.ptr, key.len);
	const char *near = str_suggest(name, keys);
	return err_new(ERR_INVALID, "unknown check option \"%s\"%s%s%s", name, near ? " (did you mean " : "",
		near ? near : "", near ? "?)" : "");
}

struct err *check_options_parse(const char *text, struct check_options *out)
{
	struct check_options made AUTO(check_options_fini) = {0};
	struct str rest = str_c(text), part;
	for (int n = 0; str_split(&rest, ';', &part); n++) {
		if (n == CHECK_PARTS_MAX)
			return err_new(ERR_INVALID, "check has more than %d options", CHECK_PARTS_MAX);
		TRY(parse_part(str_trim(part), &made));
	}
	*out = made;
	made = (struct check_options){0};
	return NULL;
}
