/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/names.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/path.h"

#include <ctype.h>
#include <string.h>

static char *lower(struct arena *a, struct str s)
{
	char *out = arena_str(a, s);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return out;
}

static bool platform_word(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	return true;
}

static void normalize(struct platform *p)
{
	static const struct {
		const char *arch, *variant, *to_arch, *to_variant; /* variant NULL: any */
	} table[] = {
		{"x86_64", NULL, "amd64", ""},
		{"x86-64", NULL, "amd64", ""},
		{"i386", NULL, "386", ""},
		{"aarch64", NULL, "arm64", ""},
		{"armhf", NULL, "arm", "v7"},
		{"armel", NULL, "arm", "v6"},
		{"amd64", "v1", "amd64", ""},
		{"arm64", "8", "arm64", ""},
		{"arm64", "v8", "arm64", ""},
		{"arm", "", "arm", "v7"},
		{"arm", "5", "arm", "v5"},
		{"arm", "6", "arm", "v6"},
		{"arm", "7", "arm", "v7"},
		{"arm", "8", "arm", "v8"},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (cstr_eq(p->arch, table[i].arch) &&
			(!table[i].variant || cstr_eq(p->variant, table[i].variant))) {
			p->arch = table[i].to_arch;
			p->variant = table[i].to_variant;
			return;
		}
}

struct err *platform_words_parse(struct arena *a, const char *text, struct platform *out)
{
	struct str rest = str_c(text), part;
	const char *parts[3] = {"", "", ""};
	size_t n = 0;
	while (n < 3 && str_split(&rest, '/', &part))
		parts[n++] = lower(a, part);
	bool ok = n >= 1 && !(rest.ptr && rest.len);
	for (size_t i = 0; i < n; i++)
		ok = ok && *parts[i] && platform_word(parts[i]);
	if (!ok)
		return err_hint(err_new(ERR_INVALID, "\"%s\" is no platform", text),
			"write it like linux/amd64 or linux/arm/v7");
	struct platform p = {parts[0], parts[1], parts[2], NULL};
	/* One word names the architecture, or the system. */
	if (n == 1 && !cstr_eq(p.os, "linux") && !cstr_eq(p.os, "windows") && !cstr_eq(p.os, "darwin")) {
		p.arch = p.os;
		p.os = "linux";
	}
	if (!*p.arch)
		p.arch = "amd64";
	normalize(&p);
	p.text = arena_printf(a, "%s/%s%s%s", p.os, p.arch, *p.variant ? "/" : "", p.variant);
	*out = p;
	return NULL;
}

/* [a-z0-9]+ joined by one of . _ __ or dashes. */
static bool path_component_ok(struct str s)
{
	if (s.len == 0 || !isalnum((unsigned char)s.ptr[0]) || !isalnum((unsigned char)s.ptr[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len;) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (islower(c) || isdigit(c)) {
			i++;
			continue;
		}
		size_t n = 0;
		while (i + n < s.len && s.ptr[i + n] == (char)c)
			n++;
		if (!(c == '-' || (c == '.' && n == 1) || (c == '_' && n <= 2)))
			return false;
		i += n;
		if (i < s.len && !islower((unsigned char)s.ptr[i]) && !isdigit((unsigned char)s.ptr[i]))
			return false;
	}
	return true;
}

static bool tag_ok(struct str s)
{
	if (s.len == 0 || s.len > 128 || s.ptr[0] == '.' || s.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.ptr[i]) && !strchr("_.-", s.ptr[i]))
			return false;
	return true;
}

static bool host_ok(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.ptr[i]) && !strchr(".-:[]", s.ptr[i]))
			return false;
	return s.len > 0;
}

static struct err *bad_name(const char *text)
{
	for (const char *c = text; *c && *c != ':' && *c != '@'; c++)
		if (isupper((unsigned char)*c))
			return err_new(ERR_INVALID,
				"invalid image reference \"%s\": the repository name must be lower case",
				text);
	return err_hint(err_new(ERR_INVALID, "invalid image reference \"%s\"", text),
		"write it like name, name:tag or host/path/name:tag");
}

struct err *image_name(struct arena *a, const char *text, const char **out)
{
	struct str name = str_c(text), digest = {0}, tag = {0}, host = STR("docker.io");
	ptrdiff_t at = str_index(name, '@');
	if (at >= 0) {
		digest = str_skip(name, (size_t)at + 1);
		name.len = (size_t)at;
		if (!digest_valid(digest))
			return bad_name(text);
	}
	ptrdiff_t colon = str_rindex(name, ':'), slash = str_rindex(name, '/');
	if (colon > slash) {
		tag = str_skip(name, (size_t)colon + 1);
		name.len = (size_t)colon;
		if (!tag_ok(tag))
			return bad_name(text);
	}
	ptrdiff_t first = str_index(name, '/');
	struct str head = first < 0 ? (struct str){0} : str_n(name.ptr, (size_t)first);
	if (first >= 0 &&
		(str_index(head, '.') >= 0 || str_index(head, ':') >= 0 || str_eq_c(head, "localhost"))) {
		host = str_eq_c(head, "index.docker.io") ? host : head;
		name = str_skip(name, (size_t)first + 1);
	}
	struct str rest = name, part;
	bool ok = name.len > 0 && name.len < 256 && host_ok(host);
	while (ok && str_split(&rest, '/', &part))
		ok = path_component_ok(part);
	if (!ok)
		return bad_name(text);
	bool library = str_eq_c(host, "docker.io") && str_index(name, '/') < 0;
	if (!tag.len && !digest.len)
		tag = STR("latest");
	*out = arena_printf(a, STR_FMT "/%s" STR_FMT "%s" STR_FMT "%s" STR_FMT, STR_ARG(host),
		library ? "library/" : "", STR_ARG(name), tag.len ? ":" : "", STR_ARG(tag),
		digest.len ? "@" : "", STR_ARG(digest));
	return NULL;
}

bool http_url_is(const char *text)
{
	return cstr_starts(text, "http://") || cstr_starts(text, "https://");
}

/* user@host:path, with nothing odd before the '@'. */
static bool scp_like(const char *text)
{
	const char *at = strchr(text, '@'), *colon = strchr(text, ':');
	if (!at || !colon || colon < at + 2 || at == text || colon[1] == 0)
		return false;
	for (const char *c = text; c < at; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
			return false;
	for (const char *c = at + 1; c < colon; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".-", *c))
			return false;
	return true;
}

bool git_url_is(const char *text)
{
	if (cstr_starts(text, "git://") || cstr_starts(text, "ssh://"))
		return true;
	if (!http_url_is(text))
		return scp_like(text);
	struct str path = str_n(text, strcspn(text, "?#"));
	return str_ends(path, ".git");
}

static int hex_value(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

static const char *percent_decode(struct arena *a, struct str s)
{
	char *out = arena_str(a, s), *to = out;
	for (const char *c = out; *c; c++) {
		int hi = *c == '%' ? hex_value(c[1]) : -1;
		int lo = hi >= 0 ? hex_value(c[2]) : -1;
		if (lo < 0 || hi * 16 + lo == 0) {
			*to++ = *c;
			continue;
		}
		*to++ = (char)(hi * 16 + lo);
		c += 2;
	}
	*to = 0;
	return out;
}

const char *http_url_file(struct arena *a, const char *url)
{
	const char *authority = strstr(url, "://") + 3;
	const char *path = authority + strcspn(authority, "/?#");
	const char *decoded = percent_decode(a, str_n(path, strcspn(path, "?#")));
	char *clean AUTO_FREE = path_rooted(decoded);
	const char *base = path_base(clean);
	return *base ? arena_strdup(a, base) : HTTP_NO_NAME;
}

static struct err *git_bool(const char *key, const char *value, bool *out)
{
	*out = !*value || str_eq_nocase(str_c(value), "true") || cstr_eq(value, "1");
	if (!*out && !str_eq_nocase(str_c(value), "false") && !cstr_eq(value, "0"))
		return err_new(ERR_INVALID, "git URL: %s is true or false, not \"%s\"", key, value);
	return NULL;
}

static struct err *git_ref(struct op_git *g, const char *ref)
{
	if (g->ref && !cstr_eq(g->ref, ref))
		return err_new(ERR_INVALID, "git URL: names two refs, \"%s\" and \"%s\"", g->ref, ref);
	g->ref = ref;
	return NULL;
}

static struct err *git_subdir(struct arena *a, struct op_git *g, const char *subdir)
{
	char *clean AUTO_FREE = path_rooted(subdir);
	if (g->subdir && !cstr_eq(g->subdir, clean))
		return err_new(ERR_INVALID, "git URL: names two subdirectories, \"%s\" and \"%s\"", g->subdir,
			clean);
	if (*clean)
		g->subdir = arena_strdup(a, clean);
	return NULL;
}

static struct err *git_key(struct arena *a, struct op_git *g, const char *key, const char *value)
{
	static const char *const known[] = {"ref", "branch", "tag", "subdir", "checksum", "commit",
		"keep-git-dir", "submodules", "mtime", "fetch-by-commit", NULL};
	bool flag = false;
	if (cstr_eq(key, "ref"))
		return git_ref(g, value);
	if (cstr_eq(key, "branch"))
		return git_ref(g, arena_printf(a, "refs/heads/%s", value));
	if (cstr_eq(key, "tag"))
		return git_ref(g, arena_printf(a, "refs/tags/%s", value));
	if (cstr_eq(key, "subdir"))
		return git_subdir(a, g, value);
	if (cstr_eq(key, "checksum") || cstr_eq(key, "commit")) {
		if (g->checksum && !cstr_eq(g->checksum, value))
			return err_new(ERR_INVALID, "git URL: names two commits, \"%s\" and \"%s\"",
				g->checksum, value);
		g->checksum = value;
		return NULL;
	}
	if (cstr_eq(key, "keep-git-dir"))
		return git_bool(key, value, &g->keep_git_dir);
	if (cstr_eq(key, "submodules")) {
		TRY(git_bool(key, value, &flag));
		g->no_submodules = !flag;
		return NULL;
	}
	if (cstr_eq(key, "mtime") && !cstr_eq(value, "checkout"))
		return err_new(ERR_UNSUPPORTED, "git URL: mtime=%s is not supported", value);
	if (cstr_eq(key, "mtime") || cstr_eq(key, "fetch-by-commit"))
		return NULL;
	const char *near = str_suggest(key, known);
	return err_new(ERR_INVALID, "git URL: unknown key \"%s\"%s%s%s", key, near ? " (did you mean " : "",
		near ? near : "", near ? "?)" : "");
}

struct err *git_url_parse(struct arena *a, const char *text, struct op_git *out)
{
	struct op_git g = {0};
	size_t url = strcspn(text, "?#");
	g.url = arena_strndup(a, text, url);
	const char *fragment = strchr(text, '#');
	if (text[url] == '?') {
		struct str query = str_n(text + url + 1, strcspn(text + url + 1, "#")), pair;
		while (query.len && str_split(&query, '&', &pair)) {
			ptrdiff_t eq = str_index(pair, '=');
			struct str key = eq < 0 ? pair : str_n(pair.ptr, (size_t)eq);
			struct str value = eq < 0 ? str_n("", 0) : str_skip(pair, (size_t)eq + 1);
			TRY(git_key(a, &g, percent_decode(a, key), percent_decode(a, value)));
		}
	}
	if (fragment) {
		size_t ref = strcspn(fragment + 1, ":");
		if (ref)
			TRY(git_ref(&g, arena_strndup(a, fragment + 1, ref)));
		if (fragment[1 + ref] == ':')
			TRY(git_subdir(a, &g, fragment + 2 + ref));
	}
	if (g.ref && *g.ref == '-')
		return err_new(ERR_INVALID, "git URL: the ref \"%s\" begins with a dash", g.ref);
	*out = g;
	return NULL;
}
