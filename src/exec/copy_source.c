/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/copy_source.h"

#include "base/mem.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_MATCHES 1000000

struct finding {
	struct file_tree *t;
	const struct file_action *a;
	struct ignore *exclude, *include;
	struct vec *matches;
	size_t kept_from; /* with parents: bytes of the path that are not kept */
};

static void finding_fini(struct finding *f)
{
	ignore_free(f->exclude);
	ignore_free(f->include);
}

void copy_matches_fini(struct vec *matches)
{
	for (size_t i = 0; i < matches->len; i++) {
		struct copy_match *m = vec_at(matches, i);
		free(m->path);
		free(m->name);
		free(m->kept);
		vec_fini(&m->picks);
	}
	vec_fini(matches);
}

static struct err *add_match(struct finding *f, struct file_entry *e, const char *path)
{
	if (f->matches->len >= MAX_MATCHES)
		return err_new(
			ERR_INVALID, "copy to %s: more than %d sources match", f->a->dest, MAX_MATCHES);
	struct copy_match *m = vec_push(f->matches);
	m->entry = e;
	m->path = mem_strdup(path);
	m->name = mem_strdup(path_base(path));
	m->picks = VEC_OF(struct picked);
	if (f->a->parents) {
		size_t skip = f->kept_from < strlen(path) ? f->kept_from : strlen(path);
		const char *rest = path + skip;
		while (*rest == '/')
			rest++;
		AUTO_FREE char *dir = path_dir(rest);
		m->kept = mem_strdup(cstr_eq(dir, ".") ? "" : dir);
	}
	return file_tree_pick(f->t, e, f->exclude, f->include, &m->picks);
}

static struct err *not_found(struct finding *f, const char *source)
{
	AUTO_FREE char *nearest = NULL;
	AUTO_FREE char *rule = NULL;
	TRY(file_tree_explain(f->t, source, &nearest, &rule));
	const char *what = file_tree_what(f->t);
	struct err *e = err_new(ERR_NOT_FOUND, "copy source \"/%s\" does not exist in %s", source, what);
	if (rule)
		return err_hint(e, "the ignore file's rule \"%s\" leaves it out", rule);
	return err_hint(e, "the nearest path there is: \"/%s\"", nearest);
}

static bool is_pattern(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (strchr("*?[\\", s.ptr[i]))
			return true;
	return false;
}

static struct err *expand(struct finding *f, const char *at, struct str rest);

/* Every child of the directory at that fits the pattern, and what is left of the source below it. */
static struct err *expand_pattern(struct finding *f, const char *at, const char *pattern, struct str rest)
{
	struct file_entry *dir;
	struct file_entry *const *c;
	size_t n;
	TRY(file_tree_find(f->t, at, true, &dir));
	if (!dir || !S_ISDIR(dir->mode))
		return NULL;
	TRY(file_tree_children(f->t, dir, &c, &n));
	for (size_t i = 0; i < n; i++) {
		int fits = path_match(pattern, c[i]->name);
		if (fits < 0)
			return err_new(ERR_INVALID, "copy source pattern \"%s\" is malformed", pattern);
		if (!fits)
			continue;
		AUTO_FREE char *path = *at ? mem_printf("%s/%s", at, c[i]->name) : mem_strdup(c[i]->name);
		TRY(expand(f, path, rest));
	}
	return path_match(pattern, "") < 0
		       ? err_new(ERR_INVALID, "copy source pattern \"%s\" is malformed", pattern)
		       : NULL;
}

static struct err *expand(struct finding *f, const char *at, struct str rest)
{
	AUTO_FREE char *here = mem_strdup(at);
	struct str part;
	while (str_split(&rest, '/', &part)) {
		if (!part.len)
			continue;
		AUTO_FREE char *name = mem_strndup(part.ptr, part.len);
		if (is_pattern(part))
			return expand_pattern(f, here, name, rest);
		char *next = *here ? mem_printf("%s/%s", here, name) : mem_strdup(name);
		free(here);
		here = next;
	}
	struct file_entry *e;
	TRY(file_tree_find(f->t, here, f->a->follow_links, &e));
	return e ? add_match(f, e, here) : NULL;
}

static struct err *find_literal(struct finding *f, const char *source)
{
	struct file_entry *e;
	AUTO_FREE char *clean = path_rooted(source);
	TRY(file_tree_find(f->t, clean, f->a->follow_links, &e));
	return e ? add_match(f, e, clean) : not_found(f, clean);
}

static struct err *find_pattern(struct finding *f, const char *source)
{
	size_t before = f->matches->len;
	AUTO_FREE char *clean = path_rooted(source);
	TRY(expand(f, "", str_c(clean)));
	if (f->matches->len > before || f->a->allow_empty)
		return NULL;
	struct err *e = err_new(
		ERR_NOT_FOUND, "copy source \"/%s\" matches nothing in %s", clean, file_tree_what(f->t));
	return err_hint(e, "check the pattern and the ignore file");
}

struct err *copy_sources(struct file_tree *t, const struct file_action *a, struct vec *matches)
{
	AUTO(finding_fini) struct finding f = {.t = t, .a = a, .matches = matches};
	TRY(ignore_new(a->exclude, &f.exclude));
	if (a->include && a->include[0])
		TRY(ignore_new(a->include, &f.include));
	for (size_t i = 0; a->sources[i]; i++) {
		const char *pivot = a->parents ? strstr(a->sources[i], "/./") : NULL;
		AUTO_FREE char *before =
			pivot ? mem_strndup(a->sources[i], (size_t)(pivot - a->sources[i])) : NULL;
		AUTO_FREE char *clean = before ? path_rooted(before) : NULL;
		f.kept_from = clean ? strlen(clean) : 0;
		TRY(a->wildcard ? find_pattern(&f, a->sources[i]) : find_literal(&f, a->sources[i]));
	}
	return NULL;
}
