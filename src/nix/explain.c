/* SPDX-License-Identifier: Apache-2.0 */
/* Nix's error messages, of 2.3 to 2.3x: the same in other words and another order. */
#include "base/mem.h"
#include "base/path.h"
#include "nix/nix_internal.h"

#include <string.h>

#define MESSAGE_MAX 600
#define PATH_LEN_MAX 1000
#define HASH_MAX 200

struct place {
	struct str path;
	uint64_t line, column;
};

static bool contains(struct str s, const char *part)
{
	return s.len > 0 && memmem(s.ptr, s.len, part, strlen(part));
}

static bool skip_prefix(struct str *s, const char *prefix)
{
	if (!str_starts(*s, prefix))
		return false;
	*s = str_skip(*s, strlen(prefix));
	return true;
}

/* ---- a wrong hash of something fixed ---- */

struct mismatch {
	struct str what, specified, got;
};

/* "specified: HASH"; "wanted:" in 2.3. */
static void take_hash(struct str line, struct mismatch *m)
{
	struct str s = str_trim(line);
	if (skip_prefix(&s, "specified:") || skip_prefix(&s, "wanted:"))
		m->specified = str_trim(s);
	else if (skip_prefix(&s, "got:"))
		m->got = str_trim(s);
}

/* The first one: later ones may follow from it. */
static bool find_mismatch(struct str said, struct mismatch *out)
{
	struct str line;
	while (str_split(&said, '\n', &line)) {
		struct mismatch m = {.what = str_trim(line)};
		struct str rest = said, next;
		if (!contains(line, "hash mismatch in "))
			continue;
		skip_prefix(&m.what, "error: ");
		while (str_ends(m.what, ":"))
			m.what.len--;
		for (int i = 0; i < 4 && str_split(&rest, '\n', &next); i++)
			take_hash(next, &m);
		if (!m.specified.len || !m.got.len || m.specified.len > HASH_MAX || m.got.len > HASH_MAX ||
			m.what.len > MESSAGE_MAX)
			continue;
		*out = m;
		return true;
	}
	return false;
}

/* ---- places ---- */

/* "PATH:LINE:COLUMN" */
static bool place_parse(struct str s, struct place *out)
{
	ptrdiff_t last = str_rindex(s, ':');
	if (last <= 0)
		return false;
	struct str column = str_skip(s, (size_t)last + 1), left = str_n(s.ptr, (size_t)last);
	ptrdiff_t first = str_rindex(left, ':');
	if (first <= 0 || first > PATH_LEN_MAX)
		return false;
	out->path = str_n(left.ptr, (size_t)first);
	return str_to_u64(str_skip(left, (size_t)first + 1), &out->line) &&
	       str_to_u64(column, &out->column) && path_is_abs(out->path.ptr);
}

/* "at PATH:LINE:COLUMN:" on a line of its own. */
static bool place_of_line(struct str line, struct place *out)
{
	struct str s = str_trim(line);
	if (!skip_prefix(&s, "at "))
		return false;
	if (str_ends(s, ":"))
		s.len--;
	return place_parse(s, out);
}

/* 2.3 says "MESSAGE at PATH:LINE:COLUMN" on one line: cut it off. */
static bool place_of_message(struct str *message, struct place *out)
{
	ptrdiff_t blank = str_rindex(*message, ' ');
	if (blank < 3 || !str_ends(str_n(message->ptr, (size_t)blank), " at") ||
		!place_parse(str_skip(*message, (size_t)blank + 1), out))
		return false;
	message->len = (size_t)blank - strlen(" at");
	return true;
}

/* ---- the error that counts ---- */

/* Of what failed only because something else did, which was told before. */
static bool is_echo(struct str message)
{
	return contains(message, "dependencies of derivation") || contains(message, "dependency failed") ||
	       contains(message, "dependencies failed") ||
	       contains(message, "dependencies couldn't be built") || str_starts(message, "build of '") ||
	       str_starts(message, "some errors were encountered");
}

static bool ends_message(struct str line)
{
	static const char *const starts[] = {"at /", "at <", "at \xc2\xab", "\xe2\x80\xa6", "last ", "Last ",
		"For full logs", "Output paths", ">", "likely URL", NULL};
	struct str s = str_trim(line);
	if (!s.len || (line.ptr[0] != ' ' && line.ptr[0] != '\t'))
		return true;
	for (const char *const *p = starts; *p; p++)
		if (str_starts(s, *p))
			return true;
	return false;
}

/* The text after "error:" and the indented lines that go on with it. */
static void take_message(struct str first, struct str rest, struct buf *out)
{
	struct str line;
	buf_addstr(out, str_trim(first));
	while (str_split(&rest, '\n', &line) && !ends_message(line)) {
		struct str more = str_trim(line);
		if (out->len + more.len > MESSAGE_MAX)
			break;
		buf_addf(out, "%s" STR_FMT, out->len ? " " : "", STR_ARG(more));
	}
	while (out->len && strchr(";:", out->ptr[out->len - 1]))
		buf_truncate(out, out->len - 1);
}

/* Traces go from the outside to the inside: the last one is the error itself, and its place follows it. */
static bool find_error(struct str said, struct buf *message, struct str *after)
{
	struct str line;
	bool found = false;
	while (str_split(&said, '\n', &line)) {
		struct str s = str_trim(line);
		AUTO_BUF struct buf text = {0};
		if (!skip_prefix(&s, "error:") || s.len > MESSAGE_MAX)
			continue;
		take_message(s, said, &text);
		if (!text.len || is_echo(buf_str(&text)))
			continue;
		buf_clear(message);
		buf_addstr(message, buf_str(&text));
		*after = said;
		found = true;
	}
	return found;
}

static bool find_place(struct str after, struct place *out)
{
	struct str line;
	for (int i = 0; i < 20 && str_split(&after, '\n', &line); i++) {
		if (place_of_line(line, out))
			return true;
		if (str_starts(str_trim(line), "error:"))
			return false;
	}
	return false;
}

/* ---- what to do about it ---- */

static const struct {
	const char *part, *hint;
} advice[] = {
	{"was not found in the Nix search path",
		"pin it in the file, with fetchTarball and a sha256; or set NIX_PATH, for example "
		"NIX_PATH=nixpkgs=/path/to/nixpkgs"},
	{"specified in 'build-users-group' does not exist",
		"for root, Nix wants users to build as: set Nix up for many users (Debian: apt install "
		"nix-setup-systemd), or put \"build-users-group =\" into nix.conf to build as root"},
	{"cannot connect to socket",
		"is the Nix daemon running, and may this user speak to it (Debian: group "
		"nix-users)?"},
	{"cannot connect to daemon",
		"is the Nix daemon running, and may this user speak to it (Debian: group "
		"nix-users)?"},
	{"an argument without a value",
		"nobody gives a default.nix arguments: each one needs a default, { name ? value }"},
	{"does not evaluate to a derivation", "a default.nix gives one derivation, the image"},
};

static struct err *with_advice(struct err *e, struct str text)
{
	for (size_t i = 0; i < ARRAY_LEN(advice); i++)
		if (contains(text, advice[i].part))
			return err_hint(e, "%s", advice[i].hint);
	return e;
}

/* ---- all of it ---- */

static struct err *mismatch_error(const struct mismatch *m, const struct nix_request *rq)
{
	return err_hint(err_new(ERR_INVALID, "specified: " STR_FMT ", got: " STR_FMT ": " STR_FMT,
				STR_ARG(m->specified), STR_ARG(m->got), STR_ARG(m->what)),
		"if the change is meant, what was got is to stand in %s", rq->file);
}

static struct err *error_at(const struct place *p, struct str message, const struct nix_request *rq)
{
	AUTO_FREE char *path = mem_strndup(p->path.ptr, p->path.len);
	size_t root = strlen(rq->root);
	if (cstr_starts(path, rq->root) && path[root] == '/')
		return err_new(ERR_INVALID, "%s:%llu:%llu: " STR_FMT, path + root + 1,
			(unsigned long long)p->line, (unsigned long long)p->column, STR_ARG(message));
	return err_new(ERR_INVALID, "%s: " STR_FMT " (%s:%llu:%llu)", rq->file, STR_ARG(message), path,
		(unsigned long long)p->line, (unsigned long long)p->column);
}

struct err *nix_explain(struct str said, const struct nix_request *rq, struct err *why)
{
	AUTO_BUF struct buf text = {0};
	struct mismatch m;
	struct place p;
	struct str after = {0};

	if (err_kind(why) != ERR_EXITED)
		return why;
	if (find_mismatch(said, &m)) {
		err_free(why);
		return mismatch_error(&m, rq);
	}
	if (!find_error(said, &text, &after))
		return why;
	int code = err_exit_code(why);
	err_free(why);
	struct str message = buf_str(&text);
	struct err *e = place_of_message(&message, &p) || find_place(after, &p)
				? error_at(&p, message, rq)
				: err_new(ERR_EXITED, "%s: " STR_FMT, rq->file, STR_ARG(message));
	return with_advice(err_with_exit_code(e, code), message);
}
