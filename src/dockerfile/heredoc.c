/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/heredoc.h"

#include "base/vec.h"
#include "dockerfile/expand.h"
#include "dockerfile/words.h"

#include <ctype.h>
#include <string.h>

/* After "N<<" and "-", where the name begins; NULL if the word does not start so. */
static const char *after_marker(const char *word, bool *strip_tabs)
{
	while (isdigit((unsigned char)*word))
		word++;
	if (word[0] != '<' || word[1] != '<')
		return NULL;
	word += 2;
	*strip_tabs = *word == '-';
	return *strip_tabs ? word + 1 : word;
}

bool heredoc_word(struct arena *a, const char *word, struct ast_heredoc *out)
{
	bool strip_tabs = false;
	const char *name = after_marker(word, &strip_tabs);
	if (!name || !*name || strchr(name, '<'))
		return false;
	struct expander plain = {.escape = '\\', .keep_unset = true};
	/* Quotes anywhere in the name keep the body as it is; an escape does not. */
	struct expander raw = {.escape = '\\', .keep_unset = true, .keep_quotes = true};
	struct strvec words AUTO_STRVEC = {0}, raw_words AUTO_STRVEC = {0};
	struct err *why AUTO(err_freep) = expand_words(&plain, name, &words);
	struct err *why_raw AUTO(err_freep) = expand_words(&raw, name, &raw_words);
	if (why || why_raw || words.len != 1 || raw_words.len != 1 || !words.ptr[0][0])
		return false;
	out->name = arena_strdup(a, words.ptr[0]);
	out->strip_tabs = strip_tabs;
	out->expand = strcmp(words.ptr[0], raw_words.ptr[0]) == 0;
	return true;
}

/* How deep in "((" the text is: there "<<" is a shift. Goes forward only. */
struct arithmetic {
	size_t at;
	int depth;
};

static bool in_arithmetic(struct arithmetic *m, const char *text, size_t until)
{
	for (; m->at + 1 < until; m->at++) {
		if (text[m->at] == '(' && text[m->at + 1] == '(') {
			m->depth++;
			m->at++;
		} else if (text[m->at] == ')' && text[m->at + 1] == ')' && m->depth > 0) {
			m->depth--;
			m->at++;
		}
	}
	return m->depth > 0;
}

static bool names_follow(const char *word)
{
	return isalpha((unsigned char)word[0]) || (word[0] && strchr("_'\"\\-$", word[0]));
}

void heredoc_find(struct arena *a, const char *text, struct vec *out)
{
	if (!strstr(text, "<<"))
		return;
	struct vec words AUTO(vec_fini) = VEC_OF(struct word);
	struct arithmetic shift = {0, 0};
	words_quoted(a, text, '\\', &words);
	for (size_t i = 0; i < words.len; i++) {
		const struct word *w = vec_at(&words, i);
		const char *text_word = w->text;
		bool strip_tabs = false;
		const char *name = after_marker(text_word, &strip_tabs);
		if (!name || in_arithmetic(&shift, text, w->offset))
			continue;
		/* "<< EOF" */
		if (!*name && i + 1 < words.len) {
			const struct word *next = vec_at(&words, i + 1);
			if (!names_follow(next->text))
				continue;
			text_word = arena_printf(a, "%s %s", text_word, next->text);
			i++;
		}
		struct ast_heredoc doc = {.at = {1, (uint32_t)w->offset}};
		if (heredoc_word(a, text_word, &doc))
			vec_push_copy(out, &doc);
	}
}
