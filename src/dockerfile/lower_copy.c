/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lower_internal.h"

#include "base/mem.h"
#include "base/path.h"
#include "dockerfile/heredoc.h"

#include <ctype.h>
#include <string.h>

/* One COPY or ADD being put together. */
struct copy {
	struct lower *lw;
	struct stage *st;
	const struct instr *i;
	struct vec inputs;         /* of struct node *; 0 is the base */
	struct vec actions;        /* of struct file_action */
	struct file_action common; /* what all its actions share */
	const char *dest_text;
	const char *checksum;
	struct node *source; /* where plain paths come from; NULL before it was needed, or scratch */
	bool source_known;
	bool keep_owner;
	struct buf history;
};

static void copy_fini(struct copy *c)
{
	vec_fini(&c->inputs);
	vec_fini(&c->actions);
	buf_fini(&c->history);
}

static int add_input(struct copy *c, struct node *n)
{
	for (size_t i = 1; i < c->inputs.len; i++)
		if (*(struct node **)vec_at(&c->inputs, i) == n)
			return (int)i;
	vec_push_copy(&c->inputs, &n);
	return (int)c->inputs.len - 1;
}

static struct err *fail_at(const struct copy *c, struct pos at, struct err *why)
{
	return lower_at(c->lw, c->st, at, why);
}

/* [ugoa]*[-+=][rwxXst]* joined by commas. */
static bool symbolic_mode(const char *s)
{
	do {
		s += strspn(s, "ugoa");
		if (!*s || !strchr("-+=", *s))
			return false;
		while (*s && strchr("-+=", *s)) {
			s++;
			s += strspn(s, "rwxXstugo");
		}
	} while (*s == ',' && *++s);
	return *s == 0;
}

static struct err *take_mode(struct copy *c)
{
	const char *flag = c->i->flag[FLAG_CHMOD];
	uint32_t mode = 0;
	if (!flag)
		return NULL;
	struct ast_word w = {flag, c->i->flag_at[FLAG_CHMOD]};
	TRY(lower_expand(c->lw, c->st, &w, &flag));
	if (!*flag)
		return NULL;
	if (!(str_to_octal(str_c(flag), &mode) && mode <= 07777) && !symbolic_mode(flag))
		return fail_at(c, w.at,
			err_hint(err_new(ERR_INVALID,
					 "invalid chmod parameter: '%s'. it should be octal string and "
					 "between 0 and 07777",
					 flag),
				"or symbolic, like u=rwX,go=rX"));
	c->common.mode = flag;
	return NULL;
}

static bool numeric_owner(const char *owner)
{
	size_t user = strspn(owner, "0123456789");
	if (!user || (owner[user] && owner[user] != ':'))
		return false;
	const char *group = owner + user + (owner[user] == ':');
	return group[strspn(group, "0123456789")] == 0;
}

static struct err *take_owner(struct copy *c)
{
	const char *flag = c->i->flag[FLAG_CHOWN];
	if (!flag)
		return NULL;
	struct ast_word w = {flag, c->i->flag_at[FLAG_CHOWN]};
	TRY(lower_expand(c->lw, c->st, &w, &flag));
	if (!*flag)
		return NULL;
	if (*flag == ':')
		return fail_at(c, w.at,
			err_new(ERR_INVALID, "invalid chown parameter: '%s': the user is missing", flag));
	if (instr_flag(c->i, FLAG_LINK) && !c->common.mode && !numeric_owner(flag))
		return fail_at(c, w.at,
			err_hint(err_new(ERR_INVALID,
					 "--link with --chown=%s: a linked copy does not see the image's "
					 "users",
					 flag),
				"use numbers, or leave --link away"));
	c->common.owner = flag;
	return NULL;
}

/* Where it goes, and is that a directory by the way it is written? */
static struct err *take_dest(struct copy *c, size_t source_count)
{
	const struct ast_node *n = c->i->node;
	const struct ast_word *w = &n->args[n->arg_count - 1];
	TRY(lower_expand(c->lw, c->st, w, &c->dest_text));
	char *dest AUTO_FREE = path_resolve(stage_config_cwd(&c->st->config), c->dest_text);
	struct str text = str_c(c->dest_text);
	bool directory = text.len == 0 || str_ends(text, "/") || str_ends(text, "/.") ||
			 str_ends(text, "/..") || str_eq_c(text, ".") || str_eq_c(text, "..") ||
			 strcmp(dest, "/") == 0;
	if (!directory && source_count > 1)
		lower_warn(c->lw, c->st, n,
			"%s has several sources, but its destination %s does not end with a slash: it is "
			"taken to be a directory",
			n->name, c->dest_text);
	c->common.dest = arena_strdup(c->lw->a, dest);
	c->common.dest_is_dir = directory || source_count > 1;
	return NULL;
}

static bool has_wildcard(const char *s)
{
	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		else if (strchr("*?[", *s))
			return true;
	}
	return false;
}

static struct err *need_source(struct copy *c)
{
	if (c->source_known)
		return NULL;
	c->source_known = true;
	const char *from = c->i->flag[FLAG_FROM];
	if (!from)
		return fail_at(c, c->i->node->at, lower_local(c->lw, "context", &c->source));
	struct from_ref ref = {from, c->i->flag_at[FLAG_FROM], true};
	struct from_result found = {0};
	TRY(lower_from(c->lw, c->st, c->i, &ref, &found));
	c->source = found.node;
	c->keep_owner = found.keep_owner;
	return NULL;
}

/* Sources of one kind from one place in a row make one action. */
static void add_action(struct copy *c, const struct file_action *a, struct strvec *sources)
{
	struct file_action made = *a;
	const char **list = arena_array(c->lw->a, sources->len + 1, sizeof(*list));
	for (size_t i = 0; i < sources->len; i++)
		list[i] = arena_strdup(c->lw->a, sources->ptr[i]);
	made.sources = list;
	vec_push_copy(&c->actions, &made);
	strvec_clear(sources);
}

/* "/a/./b/c" keeps its pivot: the part after it is what --parents keeps. */
static char *parents_source(const char *text)
{
	const char *pivot = strstr(text, "/./");
	if (!pivot)
		return path_rooted(text);
	char *before_text AUTO_FREE = mem_strndup(text, (size_t)(pivot - text));
	char *before AUTO_FREE = path_rooted(before_text);
	char *after AUTO_FREE = path_rooted(pivot + 3);
	return *before ? mem_printf("%s/./%s", before, after) : mem_strdup(after);
}

static bool unpacks(const struct copy *c, bool by_default)
{
	return c->i->flag[FLAG_UNPACK] ? instr_flag(c->i, FLAG_UNPACK) : by_default;
}

static bool plain_path(const char *s)
{
	return s && !git_url_is(s) && !http_url_is(s);
}

/* The plain paths from *at on that can go into one action. */
static struct err *copy_paths(struct copy *c, const char *const *paths, size_t count, size_t *at)
{
	TRY(need_source(c));
	struct file_action a = c->common;
	a.input = add_input(c, c->source);
	a.wildcard = has_wildcard(paths[*at]);
	a.allow_empty = a.wildcard;
	a.dir_contents = true;
	a.follow_links = true;
	a.keep_owner = c->keep_owner && !a.owner;
	a.parents = instr_flag(c->i, FLAG_PARENTS);
	a.unpack = unpacks(c, c->i->keyword == KW_ADD);
	a.exclude = c->i->exclude;
	struct strvec sources AUTO_STRVEC = {0};
	while (*at < count && plain_path(paths[*at]) && has_wildcard(paths[*at]) == a.wildcard) {
		const char *text = paths[(*at)++];
		strvec_push_take(&sources, a.parents ? parents_source(text) : path_rooted(text));
	}
	add_action(c, &a, &sources);
	return NULL;
}

static struct err *add_http(struct copy *c, const char *url)
{
	const char *file = http_url_file(c->lw->a, url);
	bool unpack = unpacks(c, false);
	if (c->common.dest_is_dir && !unpack && cstr_eq(file, HTTP_NO_NAME))
		return err_hint(err_new(ERR_INVALID, "%s names no file to be put into %s", url, c->dest_text),
			"give the file's name in the destination, without a slash at its end");
	struct op op = {.kind = OP_HTTP, .http = {.url = url, .checksum = c->checksum, .filename = file}};
	struct node_label label = {.name = arena_printf(c->lw->a, "download %s", url),
		.where = lower_range(c->lw, c->st, c->i->node),
		.hidden = true};
	struct node *node = NULL;
	TRY(graph_node(c->lw->g, &op, NULL, 0, &label, &node));
	struct file_action a = c->common;
	a.input = add_input(c, node);
	a.unpack = unpack;
	struct strvec sources AUTO_STRVEC = {0};
	strvec_push(&sources, file);
	add_action(c, &a, &sources);
	return NULL;
}

static struct err *add_git(struct copy *c, const char *url)
{
	struct op op = {.kind = OP_GIT};
	TRY(git_url_parse(c->lw->a, url, &op.git));
	if (c->checksum && op.git.checksum && !cstr_eq(c->checksum, op.git.checksum))
		return err_new(ERR_INVALID, "--checksum and the URL name two commits, \"%s\" and \"%s\"",
			c->checksum, op.git.checksum);
	if (c->checksum)
		op.git.checksum = c->checksum;
	if (c->i->flag[FLAG_KEEP_GIT_DIR])
		op.git.keep_git_dir = instr_flag(c->i, FLAG_KEEP_GIT_DIR);
	struct node_label label = {.name = arena_printf(c->lw->a, "clone %s", url),
		.where = lower_range(c->lw, c->st, c->i->node),
		.hidden = true};
	struct node *node = NULL;
	TRY(graph_node(c->lw->g, &op, NULL, 0, &label, &node));
	struct file_action a = c->common;
	a.input = add_input(c, node);
	a.dir_contents = true;
	a.exclude = c->i->exclude;
	struct strvec sources AUTO_STRVEC = {0};
	strvec_push(&sources, "");
	add_action(c, &a, &sources);
	return NULL;
}

/* A file of its own that is then copied: whether dest is a directory is known only where it lies. */
static struct err *copy_heredoc(struct copy *c, const struct ast_heredoc *doc)
{
	struct str body;
	TRY(lower_expand_body(c->lw, c->st, doc, &body));
	char *name AUTO_FREE = path_rooted(doc->name);
	if (!*name)
		return fail_at(
			c, doc->at, err_new(ERR_INVALID, "heredoc name \"%s\" is no file name", doc->name));
	struct file_action make = {.kind = FILE_MKFILE,
		.input = INPUT_NONE,
		.dest = arena_printf(c->lw->a, "/%s", path_base(name)),
		.mode = "0644",
		.data = body};
	struct op op = {.kind = OP_FILE, .file = {.actions = &make, .action_count = 1}};
	struct node_label label = {.name = "preparing inline document",
		.where = lower_range(c->lw, c->st, c->i->node),
		.hidden = true};
	struct node *none = NULL, *node = NULL;
	TRY(graph_node(c->lw->g, &op, &none, 1, &label, &node));
	struct file_action a = c->common;
	a.input = add_input(c, node);
	struct strvec sources AUTO_STRVEC = {0};
	strvec_push(&sources, path_base(name));
	add_action(c, &a, &sources);
	return NULL;
}

static struct err *check_checksum(struct copy *c, const char *const *paths, size_t count)
{
	const char *flag = c->i->flag[FLAG_CHECKSUM];
	if (!flag)
		return NULL;
	struct ast_word w = {flag, c->i->flag_at[FLAG_CHECKSUM]};
	TRY(lower_expand(c->lw, c->st, &w, &flag));
	if (count != 1)
		return fail_at(
			c, w.at, err_new(ERR_INVALID, "checksum can't be specified for multiple sources"));
	bool git = paths[0] && git_url_is(paths[0]);
	if (!paths[0] || (!git && !http_url_is(paths[0])))
		return fail_at(c, w.at, err_new(ERR_INVALID, "checksum requires HTTP(S) or Git sources"));
	if (!git && !(cstr_starts(flag, "sha256:") && digest_valid(str_c(flag))))
		return fail_at(c, w.at,
			err_hint(err_new(ERR_INVALID, "checksum \"%s\" is no digest", flag),
				"write it as sha256: and 64 hex digits"));
	if (git && (flag[strspn(flag, "0123456789abcdefABCDEF")] || strlen(flag) < 7))
		return fail_at(c, w.at,
			err_new(ERR_INVALID, "checksum \"%s\" is neither a commit nor 7 digits of one",
				flag));
	c->checksum = flag;
	return NULL;
}

static struct err *copy_one(
	struct copy *c, const char *const *paths, size_t count, size_t *at, struct pos where)
{
	const char *path = paths[*at];
	bool git = git_url_is(path), http = !git && http_url_is(path);
	if (c->i->keyword == KW_COPY && (git || http)) {
		struct err *why = err_new(
			ERR_INVALID, "source can't be a %s for COPY: %s", git ? "git ref" : "URL", path);
		return fail_at(c, where, err_hint(why, "use ADD"));
	}
	if (!git && !http)
		return copy_paths(c, paths, count, at);
	(*at)++;
	return fail_at(c, where, git ? add_git(c, path) : add_http(c, path));
}

/* The heredoc that the argument at index k of the sources is, in order. */
static bool is_heredoc(struct copy *c, const struct ast_word *w, size_t next_doc)
{
	struct ast_heredoc doc = {0};
	return next_doc < c->i->node->doc_count && heredoc_word(c->lw->a, w->text, &doc);
}

static struct err *add_sources(struct copy *c)
{
	const struct ast_node *n = c->i->node;
	size_t count = n->arg_count - 1, docs = 0;
	const char **paths = arena_array(c->lw->a, count + 1, sizeof(*paths)); /* NULL: a heredoc */
	for (size_t k = 0; k < count; k++) {
		if (is_heredoc(c, &n->args[k], docs)) {
			docs++;
			continue;
		}
		TRY(lower_expand(c->lw, c->st, &n->args[k], &paths[k]));
		buf_addf(&c->history, " %s", paths[k]);
	}
	for (size_t k = 0; k < n->doc_count; k++)
		buf_addf(&c->history, " <<%s", n->docs[k].name);
	buf_addf(&c->history, " %s # buildkit", c->dest_text);
	TRY(check_checksum(c, paths, count));
	for (size_t k = 0; k < count;) {
		if (paths[k])
			TRY(copy_one(c, paths, count, &k, n->args[k].at));
		else
			k++;
	}
	for (size_t k = 0; k < n->doc_count; k++)
		TRY(copy_heredoc(c, &n->docs[k]));
	return NULL;
}

static void start_history(struct copy *c)
{
	buf_adds(&c->history, c->i->keyword == KW_ADD ? "ADD" : "COPY");
	if (instr_flag(c->i, FLAG_PARENTS))
		buf_adds(&c->history, " --parents");
	if (c->common.owner)
		buf_addf(&c->history, " --chown=%s", c->common.owner);
	if (c->common.mode)
		buf_addf(&c->history, " --chmod=%s", c->common.mode);
}

static struct err *make_node(struct copy *c)
{
	const struct ast_node *n = c->i->node;
	struct op op = {.kind = OP_FILE, .file = {.actions = c->actions.ptr, .action_count = c->actions.len}};
	op.file.link = instr_flag(c->i, FLAG_LINK);
	if (op.file.link && c->common.mode) {
		lower_warn(c->lw, c->st, n, "%s --link has no effect together with --chmod", n->name);
		op.file.link = false;
	}
	struct node_label label = lower_label(c->lw, c->st, c->i);
	struct node *made = NULL;
	TRY(fail_at(c, n->at, graph_node(c->lw->g, &op, c->inputs.ptr, c->inputs.len, &label, &made)));
	c->st->root = made;
	return NULL;
}

struct err *lower_copy(struct lower *lw, struct stage *st, const struct instr *i)
{
	struct copy c AUTO(copy_fini) = {.lw = lw,
		.st = st,
		.i = i,
		.inputs = VEC_OF(struct node *),
		.actions = VEC_OF(struct file_action)};
	c.common = (struct file_action){.kind = FILE_COPY};
	vec_push_copy(&c.inputs, &st->root);
	TRY(take_mode(&c));
	TRY(take_owner(&c));
	TRY(take_dest(&c, i->node->arg_count - 1));
	start_history(&c);
	TRY(add_sources(&c));
	TRY(make_node(&c));
	stage_config_history(&st->config, buf_cstr(&c.history), true, lw->created);
	return NULL;
}

struct err *lower_workdir(struct lower *lw, struct stage *st, const struct instr *i)
{
	const char *text = NULL;
	TRY(lower_expand(lw, st, &i->node->args[0], &text));
	if (!*text)
		return lower_at(lw, st, i->node->args[0].at,
			err_new(ERR_INVALID, "WORKDIR %s is empty once expanded", i->node->args[0].text));
	char *dir AUTO_FREE = path_resolve(stage_config_cwd(&st->config), text);
	stage_config_set(&st->config, "WorkingDir", json_text(dir));
	char *created_by AUTO_FREE = mem_printf("WORKDIR %s", dir);
	bool layer = strcmp(dir, "/") != 0;
	if (layer) {
		const char *user = stage_config_text(&st->config, "User");
		struct file_action make = {.kind = FILE_MKDIR,
			.input = INPUT_NONE,
			.dest = dir,
			.mode = "0755",
			.owner = *user ? user : NULL,
			.make_parents = true};
		struct op op = {.kind = OP_FILE, .file = {.actions = &make, .action_count = 1}};
		struct node_label label = lower_label(lw, st, i);
		struct node *made = NULL;
		TRY(lower_at(lw, st, i->node->at, graph_node(lw->g, &op, &st->root, 1, &label, &made)));
		st->root = made;
	}
	stage_config_history(&st->config, created_by, layer, lw->created);
	return NULL;
}
