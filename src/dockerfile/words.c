/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/words.h"

#include "base/buf.h"
#include "base/json.h"

#include <ctype.h>
#include <string.h>

static bool blank(char c)
{
	return isspace((unsigned char)c);
}

static void push(struct arena *a, struct vec *out, const struct buf *b, size_t offset)
{
	struct word w = {arena_str(a, buf_str(b)), offset};
	if (!w.text)
		w.text = "";
	vec_push_copy(out, &w);
}

/* One flag from text[*pos] on, quotes and escapes resolved; *pos stops at the blank or the end. */
static void read_flag(const char *text, size_t *pos, char escape, struct buf *out)
{
	char quote = 0;
	size_t i = *pos;
	for (; text[i] && (quote || !blank(text[i])); i++) {
		char c = text[i];
		if (quote && c == quote) {
			quote = 0;
			continue;
		}
		if (!quote && (c == '"' || c == '\'')) {
			quote = c;
			continue;
		}
		if (c == escape) {
			if (!text[i + 1])
				continue;
			c = text[++i];
		}
		buf_addc(out, c);
	}
	*pos = i;
}

size_t words_flags(struct arena *a, const char *text, char escape, struct vec *flags)
{
	size_t pos = 0;
	for (;;) {
		while (text[pos] && blank(text[pos]))
			pos++;
		if (text[pos] != '-' || text[pos + 1] != '-')
			return pos;
		struct buf b AUTO_BUF = {0};
		size_t start = pos;
		read_flag(text, &pos, escape, &b);
		if (strcmp(buf_cstr(&b), "--") == 0) {
			while (text[pos] && blank(text[pos]))
				pos++;
			return pos;
		}
		push(a, flags, &b, start);
	}
}

void words_blank(struct arena *a, const char *text, struct vec *out)
{
	for (size_t i = 0; text[i];) {
		size_t start = i;
		while (text[i] && !blank(text[i]))
			i++;
		if (i > start) {
			struct word w = {arena_strndup(a, text + start, i - start), start};
			vec_push_copy(out, &w);
		}
		while (text[i] && blank(text[i]))
			i++;
	}
}

/* One word with its quotes; *quoted if any were seen. */
static void read_quoted(const char *text, size_t *pos, char escape, struct buf *out, bool *quoted)
{
	char quote = 0;
	size_t i = *pos;
	for (; text[i] && (quote || !blank(text[i])); i++) {
		char c = text[i];
		if (c == escape && quote != '\'') {
			if (!text[i + 1])
				continue;
			buf_addc(out, c);
			buf_addc(out, text[++i]);
			continue;
		}
		if (quote && c == quote) {
			quote = 0;
		} else if (!quote && (c == '"' || c == '\'')) {
			quote = c;
			*quoted = true;
		}
		buf_addc(out, c);
	}
	*pos = i;
}

void words_quoted(struct arena *a, const char *text, char escape, struct vec *out)
{
	size_t pos = 0;
	for (;;) {
		while (text[pos] && blank(text[pos]))
			pos++;
		if (!text[pos])
			return;
		struct buf b AUTO_BUF = {0};
		bool quoted = false;
		size_t start = pos;
		read_quoted(text, &pos, escape, &b, &quoted);
		if (b.len || quoted)
			push(a, out, &b, start);
	}
}

enum words_json words_json(struct arena *a, const char *text, struct vec *out)
{
	struct str s = str_trim(str_c(text));
	if (!str_starts(s, "["))
		return WORDS_NOT_JSON;
	json_t *doc AUTO_JSON = NULL;
	struct err *why AUTO(err_freep) = json_parse(s, "arguments", &doc);
	if (why || !json_is_array(doc))
		return WORDS_NOT_JSON;
	size_t i;
	json_t *v;
	json_array_foreach(doc, i, v) if (!json_is_string(v)) return WORDS_JSON_BAD_MEMBER;
	size_t offset = (size_t)(s.ptr - text);
	json_array_foreach(doc, i, v)
	{
		struct word w = {arena_strdup(a, json_string_value(v)), offset};
		vec_push_copy(out, &w);
	}
	return WORDS_JSON;
}

static bool read_csv_quoted(const char *text, size_t *pos, struct buf *out)
{
	size_t i = *pos + 1;
	for (;; i++) {
		if (!text[i])
			return false;
		if (text[i] != '"') {
			buf_addc(out, text[i]);
			continue;
		}
		if (text[i + 1] != '"')
			break;
		buf_addc(out, text[++i]);
	}
	*pos = i + 1;
	return text[*pos] == 0 || text[*pos] == ',';
}

bool words_csv(struct arena *a, const char *text, struct vec *out)
{
	size_t pos = 0;
	for (;;) {
		struct buf b AUTO_BUF = {0};
		size_t start = pos;
		if (text[pos] == '"') {
			if (!read_csv_quoted(text, &pos, &b))
				return false;
		} else {
			for (; text[pos] && text[pos] != ','; pos++) {
				if (text[pos] == '"')
					return false;
				buf_addc(&b, text[pos]);
			}
		}
		push(a, out, &b, start);
		if (!text[pos])
			return true;
		pos++;
	}
}
