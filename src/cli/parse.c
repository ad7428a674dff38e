/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/command.h"

#include <string.h>

static const struct option *find(const struct option *o, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq_c(name, o[i].name))
			return &o[i];
	return NULL;
}

static const struct option *find_letter(const struct option *o, size_t count, char letter)
{
	for (size_t i = 0; i < count; i++)
		if (o[i].letter && o[i].letter == letter)
			return &o[i];
	return NULL;
}

const struct command *command_find(char *const *argv, size_t *words)
{
	const struct command *best = NULL;

	*words = 0;
	for (size_t i = 0; argv[0] && commands[i]; i++) {
		const char *space = strchr(commands[i]->name, ' ');
		if (!space) {
			if (cstr_eq(argv[0], commands[i]->name)) {
				best = commands[i];
				*words = 1;
			}
			continue;
		}
		struct str first = str_n(commands[i]->name, (size_t)(space - commands[i]->name));
		if (str_eq_c(first, argv[0]) && argv[1] && cstr_eq(argv[1], space + 1)) {
			*words = 2;
			return commands[i];
		}
	}
	for (size_t i = 0; argv[0] && !best && hidden_commands[i]; i++)
		if (cstr_eq(argv[0], hidden_commands[i]->name)) {
			best = hidden_commands[i];
			*words = 1;
		}
	return best;
}

struct cursor {
	const struct command *c;
	char *const *argv;
	size_t at;
	struct global_args *globals;
	void *args;
};

static struct err *unknown_option(const struct command *c, const char *text)
{
	AUTO_FREE const char **names = mem_array(c->option_count + global_option_count + 1, sizeof(*names));
	AUTO_FREE char *word = mem_strndup(text + 2, strcspn(text + 2, "="));
	size_t n = 0;

	for (size_t i = 0; i < c->option_count; i++)
		names[n++] = c->options[i].name;
	for (size_t i = 0; i < global_option_count; i++)
		names[n++] = global_options[i].name;
	const char *near = text[1] == '-' ? str_suggest(word, names) : NULL;
	struct err *e = err_new(ERR_USAGE, "cooper %s: unknown option %s", c->name, text);
	if (near)
		return err_hint(e, "did you mean --%s?", near);
	return err_hint(e, "see: cooper %s --help", c->name);
}

static struct err *store_value(const struct cursor *k, const struct option *o, bool global, const char *value)
{
	char *base = global ? (char *)k->globals : k->args;
	void *field = base + o->offset;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)field = true;
		break;
	case OPTION_TEXT:
		*(const char **)field = value;
		break;
	case OPTION_LIST:
		strvec_push(field, value);
		break;
	case OPTION_NUMBER:
		if (!str_to_u64(str_c(value), field))
			return err_new(ERR_USAGE, "cooper %s: --%s takes a number, not \"%s\"", k->c->name,
				o->name, value);
		break;
	}
	return NULL;
}

static struct err *take(struct cursor *k, const struct option *o, bool global, const char *attached)
{
	if (o->kind == OPTION_FLAG) {
		if (attached)
			return err_new(ERR_USAGE, "cooper %s: --%s takes no value", k->c->name, o->name);
		return store_value(k, o, global, NULL);
	}
	if (!attached) {
		attached = k->argv[k->at];
		if (!attached)
			return err_hint(err_new(ERR_USAGE, "cooper %s: --%s needs a value: %s", k->c->name,
						o->name, o->arg),
				"see: cooper %s --help", k->c->name);
		k->at++;
	}
	return store_value(k, o, global, attached);
}

static struct err *parse_long(struct cursor *k, const char *text)
{
	const char *eq = strchr(text, '=');
	struct str name = str_n(text + 2, eq ? (size_t)(eq - text - 2) : strlen(text + 2));
	const struct option *o = find(k->c->options, k->c->option_count, name);

	if (o)
		return take(k, o, false, eq ? eq + 1 : NULL);
	o = find(global_options, global_option_count, name);
	if (o)
		return take(k, o, true, eq ? eq + 1 : NULL);
	return unknown_option(k->c, text);
}

static struct err *parse_letters(struct cursor *k, const char *text)
{
	for (const char *p = text + 1; *p; p++) {
		bool global = false;
		const struct option *o = find_letter(k->c->options, k->c->option_count, *p);
		if (!o) {
			o = find_letter(global_options, global_option_count, *p);
			global = true;
		}
		if (!o)
			return unknown_option(k->c, text);
		if (o->kind != OPTION_FLAG)
			return take(k, o, global, p[1] ? p + 1 : NULL);
		TRY(take(k, o, global, NULL));
	}
	return NULL;
}

static struct err *check_operands(const struct command *c, size_t count)
{
	if (count >= c->min && count <= c->max)
		return NULL;
	return err_hint(err_new(ERR_USAGE, "cooper %s: %s", c->name,
				count < c->min ? "an operand is missing" : "too many operands"),
		"usage: cooper %s [OPTION...] %s", c->name, c->operands);
}

struct err *command_parse(const struct command *c, char *const *argv, struct global_args *globals, void *args,
	struct strvec *operands)
{
	struct cursor k = {c, argv, 0, globals, args};
	bool only_operands = false;

	while (argv[k.at]) {
		const char *text = argv[k.at++];
		if (only_operands || text[0] != '-' || !text[1])
			strvec_push(operands, text);
		else if (cstr_eq(text, "--"))
			only_operands = true;
		else if (text[1] == '-')
			TRY(parse_long(&k, text));
		else
			TRY(parse_letters(&k, text));
	}
	return globals->help ? NULL : check_operands(c, operands->len);
}

void command_args_fini(const struct command *c, void *args)
{
	for (size_t i = 0; i < c->option_count; i++)
		if (c->options[i].kind == OPTION_LIST)
			strvec_fini((void *)((char *)args + c->options[i].offset));
}
