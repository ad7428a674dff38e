/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/repo.h"
#include "repo/version_internal.h"

#include <string.h>

/* A tag has 128 characters at most; what surrounds the version takes up to 24. */
#define VERSION_MAX 104

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct str version_skip_blanks(struct str s)
{
	while (s.len && blank(s.ptr[0]))
		s = str_skip(s, 1);
	return s;
}

/* Is the version fit for a tag? where: "path:line: ", or "". */
static struct err *check_version(struct str v, const char *where)
{
	if (!v.len)
		return err_new(ERR_INVALID, "%sthe version is empty", where);
	if (memchr(v.ptr, '$', v.len))
		return err_hint(err_new(ERR_INVALID, "%sversion \"" STR_FMT "\" refers to something else",
					where, STR_ARG(v)),
			"write the version out");
	for (size_t i = 0; i < v.len; i++) {
		char c = v.ptr[i];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (alnum || (i && strchr("._-", c) && c))
			continue;
		if (c > ' ' && c < 0x7f)
			return err_hint(err_new(ERR_INVALID,
						"%sversion \"" STR_FMT "\": \"%c\" cannot stand %s a tag",
						where, STR_ARG(v), c, i ? "in" : "at the beginning of"),
				"a version has letters, digits and . _ -");
		return err_new(
			ERR_INVALID, "%sthe version holds a blank or a character that is not ASCII", where);
	}
	if (v.len > VERSION_MAX)
		return err_new(ERR_INVALID, "%sthe version is longer than %d characters", where, VERSION_MAX);
	return NULL;
}

struct err *version_check(const char *version)
{
	return check_version(str_c(version), "");
}

static struct err *take(struct str v, const char *path, uint32_t line, char **out)
{
	AUTO_FREE char *where = mem_printf("%s:%u: ", path, line);
	TRY(check_version(v, where));
	*out = mem_strndup(v.ptr, v.len);
	return NULL;
}

/* The next word of a Dockerfile line: blanks end it unless quoted. */
static bool next_word(struct str *rest, struct str *word)
{
	*rest = version_skip_blanks(*rest);
	if (!rest->len)
		return false;
	char quote = 0;
	size_t n = 0;
	for (; n < rest->len && (quote || !blank(rest->ptr[n])); n++) {
		char c = rest->ptr[n];
		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
	}
	*word = str_n(rest->ptr, n);
	*rest = str_skip(*rest, n);
	return true;
}

static struct err *dockerfile_line(struct str line, const char *path, uint32_t number, char **out)
{
	if (line.len < 4 || !str_eq_nocase(str_n(line.ptr, 3), "ARG") || !blank(line.ptr[3]))
		return NULL;
	struct str rest = str_skip(line, 3), word;
	while (next_word(&rest, &word)) {
		if (!str_starts(word, "CONTAINER_APP_VERSION="))
			continue;
		struct str v = str_skip(word, strlen("CONTAINER_APP_VERSION="));
		if (v.len >= 2 && (v.ptr[0] == '"' || v.ptr[0] == '\'') && v.ptr[v.len - 1] == v.ptr[0])
			v = str_n(v.ptr + 1, v.len - 2);
		return take(v, path, number, out);
	}
	return NULL;
}

static struct err *not_literal(const char *path, uint32_t line)
{
	return err_hint(err_new(ERR_INVALID,
				"%s:%u: VERSION is not a plain text, so it cannot be read without running it",
				path, line),
		"write VERSION = \"1.2.3\" at the beginning of a line");
}

/* What follows VERSION: an annotation perhaps, then one equals sign. False if this is no assignment. */
static bool python_assignment(struct str *s)
{
	struct str rest = version_skip_blanks(*s);
	if (rest.len && rest.ptr[0] == ':') {
		ptrdiff_t eq = str_index(rest, '=');
		if (eq < 0)
			return false;
		rest = str_skip(rest, (size_t)eq);
	}
	if (!rest.len || rest.ptr[0] != '=' || (rest.len > 1 && rest.ptr[1] == '='))
		return false;
	*s = version_skip_blanks(str_skip(rest, 1));
	return true;
}

static bool python_imports_version(struct str line)
{
	if (!str_starts(line, "from ") && !str_starts(line, "import "))
		return false;
	for (size_t i = 0; i + 7 <= line.len; i++) {
		if (memcmp(line.ptr + i, "VERSION", 7) != 0 || !i || !strchr(" \t,(", line.ptr[i - 1]))
			continue;
		char after = i + 7 < line.len ? line.ptr[i + 7] : 0;
		if (!after || strchr(" \t,);#", after))
			return true;
	}
	return false;
}

static struct err *python_line(struct str line, const char *path, uint32_t number, char **out)
{
	if (python_imports_version(line))
		return not_literal(path, number);
	if (!str_starts(line, "VERSION"))
		return NULL;
	struct str s = str_skip(line, strlen("VERSION"));
	if (!python_assignment(&s))
		return NULL;
	if (!s.len || (s.ptr[0] != '"' && s.ptr[0] != '\''))
		return not_literal(path, number);
	char quote = s.ptr[0];
	struct str v = str_skip(s, 1);
	ptrdiff_t end = str_index(v, quote);
	if (end < 0 || memchr(v.ptr, '\\', (size_t)end))
		return not_literal(path, number);
	struct str after = version_skip_blanks(str_skip(v, (size_t)end + 1));
	if (after.len && after.ptr[0] != '#' && after.ptr[0] != ';')
		return not_literal(path, number);
	return take(str_n(v.ptr, (size_t)end), path, number, out);
}

/* A nix line: version = "text". */
static bool nix_line(struct str line, struct str *v)
{
	struct str s = version_skip_blanks(line);
	if (!str_starts(s, "version"))
		return false;
	s = version_skip_blanks(str_skip(s, strlen("version")));
	if (!s.len || s.ptr[0] != '=')
		return false;
	s = version_skip_blanks(str_skip(s, 1));
	if (!s.len || s.ptr[0] != '"')
		return false;
	s = str_skip(s, 1);
	ptrdiff_t end = str_index(s, '"');
	if (end < 0)
		return false;
	*v = str_n(s.ptr, (size_t)end);
	return true;
}

struct extract {
	const char *path;
	struct event_stream *events;
	char *version;
	bool warned;
};

static struct err *nix_found(struct extract *x, struct str line, uint32_t number)
{
	struct str v;
	if (!nix_line(line, &v))
		return NULL;
	if (!x->version)
		return take(v, x->path, number, &x->version);
	if (!x->warned && !str_eq_c(v, x->version)) {
		x->warned = true;
		event_warn(x->events,
			(struct source_range){.file = x->path, .line = number, .end_line = number},
			"a second version \"" STR_FMT "\"; the first one, \"%s\", counts", STR_ARG(v),
			x->version);
	}
	return NULL;
}

struct err *version_extract(
	enum build_kind kind, struct str text, const char *path, struct event_stream *events, char **out)
{
	struct extract x = {.path = path, .events = events};
	struct version_lexer lexer = {0};
	if (str_starts(text, "\xef\xbb\xbf"))
		text = str_skip(text, 3);
	struct str rest = text, line;
	struct err *e = NULL;
	for (uint32_t number = 1; !e && str_split(&rest, '\n', &line); number++) {
		bool code = kind == KIND_DOCKERFILE || version_lexer_in_code(&lexer);
		if (kind == KIND_CONTAINER_PY)
			version_lex_python(&lexer, line);
		else if (kind == KIND_NIX)
			version_lex_nix(&lexer, line);
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (!code || (x.version && kind != KIND_NIX))
			continue;
		if (kind == KIND_DOCKERFILE)
			e = dockerfile_line(line, path, number, &x.version);
		else if (kind == KIND_CONTAINER_PY)
			e = python_line(line, path, number, &x.version);
		else
			e = nix_found(&x, line, number);
	}
	if (e) {
		mem_freep(&x.version);
		return e;
	}
	*out = x.version;
	return NULL;
}
