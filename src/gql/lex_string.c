/* SPDX-License-Identifier: Apache-2.0 */
#include "gql/lex_internal.h"

#include <string.h>

static bool string_problem(struct lexer *l, size_t at, const char *what)
{
	problem_add(l->problems, (uint32_t)at, "Syntax Error: %s.", what);
	return false;
}

/* Index of the next byte of an ordinary string that is not text: a quote, backslash, line end or the end. */
static size_t plain_end(struct str t, size_t at)
{
	static const bool special[256] = {['"'] = true, ['\\'] = true, ['\n'] = true, ['\r'] = true};
	while (at < t.len && !special[(unsigned char)t.ptr[at]])
		at++;
	return at;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four digits at *at; advances behind them. */
static bool hex4(struct str t, size_t *at, uint32_t *out)
{
	if (t.len - *at < 4)
		return false;
	uint32_t rune = 0;
	for (size_t i = 0; i < 4; i++) {
		int digit = hex_digit(t.ptr[*at + i]);
		if (digit < 0)
			return false;
		rune = rune * 16 + (uint32_t)digit;
	}
	*at += 4;
	*out = rune;
	return true;
}

static bool is_surrogate(uint32_t rune)
{
	return rune >= 0xD800 && rune <= 0xDFFF;
}

/* "{...}" of \u{...}: *at is at the brace. */
static bool braced_rune(struct str t, size_t *at, uint32_t *out)
{
	uint32_t rune = 0;
	size_t i = *at + 1;
	for (; i < t.len && hex_digit(t.ptr[i]) >= 0; i++) {
		rune = rune * 16 + (uint32_t)hex_digit(t.ptr[i]);
		if (rune > 0x10FFFF)
			return false;
	}
	if (i == *at + 1 || i >= t.len || t.ptr[i] != '}' || is_surrogate(rune))
		return false;
	*at = i + 1;
	*out = rune;
	return true;
}

/* What follows "\u". */
static bool escaped_rune(struct str t, size_t *at, uint32_t *out)
{
	if (*at < t.len && t.ptr[*at] == '{')
		return braced_rune(t, at, out);
	uint32_t low = 0;
	if (!hex4(t, at, out))
		return false;
	if (!is_surrogate(*out))
		return true;
	if (*out >= 0xDC00 || !str_starts(str_skip(t, *at), "\\u"))
		return false;
	*at += 2;
	if (!hex4(t, at, &low) || low < 0xDC00 || low > 0xDFFF)
		return false;
	*out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
	return true;
}

static size_t put_utf8(char *out, uint32_t r)
{
	if (r < 0x80) {
		out[0] = (char)r;
		return 1;
	}
	size_t n = r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (r & 0x3F));
		r >>= 6;
	}
	static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
	out[0] = (char)(lead[n] | r);
	return n;
}

/* The escape at *at (a backslash); writes at most as many bytes as it is long. */
static bool put_escape(struct str t, size_t *at, char *out, size_t *written)
{
	static const char plain[256] = {['"'] = '"',
		['\\'] = '\\',
		['/'] = '/',
		['b'] = '\b',
		['f'] = '\f',
		['n'] = '\n',
		['r'] = '\r',
		['t'] = '\t'};
	if (*at + 1 >= t.len)
		return false;
	char c = t.ptr[*at + 1];
	*at += 2;
	if (c == 'u') {
		uint32_t rune = 0;
		if (!escaped_rune(t, at, &rune))
			return false;
		*written = put_utf8(out, rune);
		return true;
	}
	*out = plain[(unsigned char)c];
	*written = 1;
	return *out != 0;
}

/* Length of the literal's inside that begins at "at"; also whether something in it has to be decoded. */
static bool measure(struct lexer *l, size_t start, size_t *end, bool *escapes)
{
	size_t at = l->at;
	for (;;) {
		at = plain_end(l->text, at);
		if (at >= l->text.len || l->text.ptr[at] == '\n' || l->text.ptr[at] == '\r')
			return string_problem(l, start, "Unterminated string");
		if (l->text.ptr[at] == '"')
			break;
		*escapes = true;
		at += 2;
	}
	*end = at;
	return true;
}

bool lex_string(struct lexer *l, size_t start, struct str *out)
{
	size_t end = 0;
	bool escapes = false;
	if (!measure(l, start, &end, &escapes))
		return false;
	struct str inside = str_n(l->text.ptr, end);
	size_t at = l->at;
	l->at = end + 1;
	if (!escapes) {
		*out = str_skip(inside, at);
		return true;
	}
	char *to = arena_alloc(l->arena, end - at);
	size_t len = 0;
	while (at < end) {
		size_t plain = plain_end(inside, at), written = 0, escape = plain;
		memcpy(to + len, inside.ptr + at, plain - at);
		len += plain - at;
		at = plain;
		if (at < end && !put_escape(inside, &at, to + len, &written))
			return string_problem(l, escape, "Invalid escape sequence in a string");
		len += written;
	}
	*out = str_n(to, len);
	return true;
}

/* Cuts the next line off *rest; line ends are LF, CR and CR LF. False when there is none left. */
static bool next_line(struct str *rest, struct str *line)
{
	if (!rest->ptr)
		return false;
	size_t n = 0;
	while (n < rest->len && rest->ptr[n] != '\n' && rest->ptr[n] != '\r')
		n++;
	*line = str_n(rest->ptr, n);
	if (n == rest->len) {
		*rest = (struct str){0};
		return true;
	}
	bool crlf = rest->ptr[n] == '\r' && n + 1 < rest->len && rest->ptr[n + 1] == '\n';
	*rest = str_skip(*rest, n + 1 + crlf);
	return true;
}

static size_t indent_of(struct str line)
{
	size_t n = 0;
	while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
		n++;
	return n;
}

/* Lines from first to last (counted from 0) are not blank; the indent common to all but line 0. */
struct block_shape {
	size_t first, last, indent;
	bool blank;
};

static struct block_shape block_shape(struct str raw)
{
	struct block_shape s = {.indent = SIZE_MAX, .blank = true};
	struct str rest = raw, line;
	for (size_t i = 0; next_line(&rest, &line); i++) {
		size_t indent = indent_of(line);
		if (indent == line.len)
			continue;
		if (s.blank)
			s.first = i;
		s.blank = false;
		s.last = i;
		if (i > 0 && indent < s.indent)
			s.indent = indent;
	}
	return s;
}

static size_t put_block_line(char *to, struct str line)
{
	size_t len = 0;
	while (line.len > 0) {
		const char *quote = memchr(line.ptr, '\\', line.len);
		size_t plain = quote ? (size_t)(quote - line.ptr) : line.len;
		bool escape = quote && str_starts(str_skip(line, plain), "\\\"\"\"");
		size_t n = plain + (quote && !escape);
		memcpy(to + len, line.ptr, n);
		len += n;
		line = str_skip(line, n);
		if (escape) {
			memcpy(to + len, "\"\"\"", 3);
			len += 3;
			line = str_skip(line, 4);
		}
	}
	return len;
}

static struct str block_text(struct arena *a, struct str raw)
{
	struct block_shape s = block_shape(raw);
	if (s.blank)
		return STR("");
	char *to = arena_alloc(a, raw.len);
	size_t len = 0;
	struct str rest = raw, line;
	for (size_t i = 0; i <= s.last && next_line(&rest, &line); i++) {
		if (i < s.first)
			continue;
		if (i > s.first)
			to[len++] = '\n';
		if (i > 0)
			line = str_skip(line, s.indent < line.len ? s.indent : line.len);
		len += put_block_line(to + len, line);
	}
	return str_n(to, len);
}

bool lex_block_string(struct lexer *l, size_t start, struct str *out)
{
	size_t begin = l->at;
	for (size_t at = begin;;) {
		const char *p = at < l->text.len ? memchr(l->text.ptr + at, '"', l->text.len - at) : NULL;
		if (!p)
			return string_problem(l, start, "Unterminated string");
		at = (size_t)(p - l->text.ptr);
		if (!str_starts(str_skip(l->text, at), "\"\"\"")) {
			at++;
		} else if (at > begin && p[-1] == '\\') {
			at += 3;
		} else {
			l->at = at + 3;
			*out = block_text(l->arena, str_n(l->text.ptr + begin, at - begin));
			return true;
		}
	}
}
