/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lower_internal.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_LEN 400

static const char *get_env(void *ctx, const char *name)
{
	return envlist_get(ctx, name);
}

static struct expander expander_of(struct lower *lw, const struct strvec *env)
{
	return (struct expander){
		.escape = lw->escape, .get = get_env, .ctx = (void *)env, .work = &lw->glob_work};
}

static struct err *expanding(struct err *why, const char *text)
{
	struct buf b AUTO_BUF = {0};
	diag_quote(&b, text);
	return err_wrap(why, "expanding %s", buf_cstr(&b));
}

struct err *lower_expand_text(struct lower *lw, const struct strvec *env, const char *text, const char **out)
{
	struct expander x = expander_of(lw, env);
	struct buf b AUTO_BUF = {0};
	struct err *why = expand_word(&x, text, &b);
	if (why)
		return expanding(why, text);
	TRY(lower_charge(lw, b.len + 16));
	*out = arena_strdup(lw->a, buf_cstr(&b));
	return NULL;
}

struct err *lower_expand(struct lower *lw, struct stage *st, const struct ast_word *w, const char **out)
{
	return lower_at(lw, st, w->at, lower_expand_text(lw, &st->env, w->text, out));
}

struct err *lower_expand_words(
	struct lower *lw, struct stage *st, const struct ast_word *w, struct strvec *out)
{
	struct expander x = expander_of(lw, &st->env);
	size_t before = out->len;
	struct err *why = expand_words(&x, w->text, out);
	if (why)
		return lower_at(lw, st, w->at, expanding(why, w->text));
	size_t bytes = 0;
	for (size_t i = before; i < out->len; i++)
		bytes += strlen(out->ptr[i]) + 16;
	return lower_charge(lw, bytes);
}

struct err *lower_expand_body(
	struct lower *lw, struct stage *st, const struct ast_heredoc *doc, struct str *out)
{
	*out = doc->body;
	if (!doc->expand)
		return NULL;
	struct expander x = expander_of(lw, &st->env);
	x.escape = '\\';
	x.quotes_are_text = true;
	struct buf b AUTO_BUF = {0};
	struct err *why = expand_word(&x, doc->body.ptr, &b);
	if (why)
		return lower_at(lw, st, doc->at, err_wrap(why, "expanding heredoc %s", doc->name));
	TRY(lower_charge(lw, b.len));
	*out = (struct str){arena_str(lw->a, buf_str(&b)), b.len};
	return NULL;
}

/* Blanks and line ends become one space each run; long texts are cut between characters. */
static void add_one_line(struct buf *out, const char *text)
{
	bool blank = false;
	size_t start = out->len;
	for (; *text; text++) {
		if (isspace((unsigned char)*text)) {
			blank = true;
			continue;
		}
		if (out->len - start > NAME_MAX_LEN && ((unsigned char)*text & 0xc0) != 0x80) {
			buf_adds(out, "...");
			return;
		}
		if (blank && out->len > start)
			buf_addc(out, ' ');
		blank = false;
		buf_addc(out, *text);
	}
}

static void add_heredoc_summary(struct buf *out, const struct ast_node *n)
{
	if (n->keyword != KW_RUN || n->doc_count != 1 || n->arg_count != 1 || n->args[0].text[0] != '<')
		return;
	struct str body = str_trim(n->docs[0].body);
	ptrdiff_t nl = str_index(body, '\n');
	struct str first = nl < 0 ? body : str_trim(str_n(body.ptr, (size_t)nl));
	char *line AUTO_FREE = mem_strndup(first.ptr, first.len);
	buf_adds(out, " (");
	add_one_line(out, line);
	buf_adds(out, nl < 0 ? ")" : "...)");
}

/* The instruction's text for a step name: variables shown with their values, one line. */
static const char *lower_display(struct lower *lw, struct stage *st, const struct ast_node *n)
{
	struct expander x = expander_of(lw, &st->env);
	x.keep_unset = x.keep_quotes = x.keep_escapes = true;
	struct buf text AUTO_BUF = {0}, b AUTO_BUF = {0};
	for (const char *c = n->name; *c; c++)
		buf_addc(&b, (char)toupper((unsigned char)*c));
	buf_addc(&b, ' ');
	/* Only for show: what cannot be expanded is shown as written. */
	struct err *why AUTO(err_freep) = n->keyword == KW_RUN ? NULL : expand_word(&x, n->rest, &text);
	lw->spent += text.len;
	add_one_line(&b, why || n->keyword == KW_RUN ? n->rest : buf_cstr(&text));
	add_heredoc_summary(&b, n);
	return arena_strdup(lw->a, buf_cstr(&b));
}

const char *lower_step_name(struct lower *lw, struct stage *st, const char *text)
{
	st->step++;
	if (st->steps < st->step)
		st->steps = st->step;
	int width = 1;
	for (unsigned n = st->steps; n >= 10; n /= 10)
		width++;
	return arena_printf(lw->a, "[%s%*u/%u] %s", st->display, width, st->step, st->steps, text);
}

struct node_label lower_label(struct lower *lw, struct stage *st, const struct instr *i)
{
	return (struct node_label){
		.name = lower_step_name(lw, st, lower_display(lw, st, i->node)),
		.where = lower_range(lw, st, i->node),
		.ignore_cache = st->ignore_cache && i->keyword != KW_WORKDIR,
	};
}
