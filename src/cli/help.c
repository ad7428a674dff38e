/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "cli/command.h"

#include <string.h>

static void option_head(const struct option *o, struct buf *out)
{
	if (o->letter)
		buf_addf(out, "-%c, ", o->letter);
	else
		buf_adds(out, "    ");
	buf_addf(out, "--%s", o->name);
	if (o->arg)
		buf_addf(out, " %s", o->arg);
}

static void print_options(FILE *out, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_BUF struct buf head = {0};
		option_head(&options[i], &head);
		if (head.len <= 28)
			fprintf(out, "  %-28s  %s\n", buf_cstr(&head), options[i].help);
		else
			fprintf(out, "  %s\n  %-28s  %s\n", buf_cstr(&head), "", options[i].help);
	}
}

static bool is_own_option(const struct command *c, const char *name)
{
	for (size_t i = 0; i < c->option_count; i++)
		if (cstr_eq(c->options[i].name, name))
			return true;
	return false;
}

/* The global options that the command does not take for itself. */
static void print_other_options(FILE *out, const struct command *c)
{
	for (size_t i = 0; i < global_option_count; i++)
		if (!is_own_option(c, global_options[i].name))
			print_options(out, &global_options[i], 1);
}

void help_overview(FILE *out)
{
	fprintf(out, "cooper turns a GitOps repository's containers into released, traceable images.\n\n"
		     "usage: cooper COMMAND [OPTION...] [OPERAND...]\n\n");
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, "  %-16s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\noptions of every command:\n");
	print_options(out, global_options, global_option_count);
	fprintf(out, "\ncooper COMMAND --help tells more. Exit status: 0 done, 1 the work failed, 2 usage, "
		     "3 a check found something.\n");
}

void help_command(FILE *out, const struct command *c)
{
	fprintf(out, "cooper %s: %s\n\nusage: cooper %s%s%s%s\n", c->name, c->summary, c->name,
		c->option_count ? " [OPTION...]" : "", *c->operands ? " " : "", c->operands);
	if (c->details)
		fprintf(out, "\n%s\n", c->details);
	if (c->option_count) {
		fprintf(out, "\noptions:\n");
		print_options(out, c->options, c->option_count);
	}
	fprintf(out, "\noptions of every command:\n");
	print_other_options(out, c);
}

static bool in_group(const struct command *c, const char *group)
{
	size_t len = strlen(group);

	return !strncmp(c->name, group, len) && c->name[len] == ' ';
}

void help_group(FILE *out, const char *group)
{
	for (size_t i = 0; commands[i]; i++)
		if (in_group(commands[i], group))
			fprintf(out, "  cooper %-16s %s\n", commands[i]->name, commands[i]->summary);
}

/* scdoc reads '_', '*' and '\' as markup. */
static void man_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("_*\\<>#[]|", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void man_options(FILE *out, const struct option *options, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		AUTO_BUF struct buf head = {0};
		option_head(&options[i], &head);
		struct str h = str_trim(buf_str(&head));
		AUTO_FREE char *text = mem_strndup(h.ptr, h.len);
		fputc('*', out);
		man_text(out, text);
		fputs("*\n\t", out);
		man_text(out, options[i].help);
		fputs("\n\n", out);
	}
}

void help_man(FILE *out)
{
	fputs("cooper(1)\n\n# NAME\n\ncooper - build, release and trace container images of a GitOps "
	      "repository\n\n"
	      "# SYNOPSIS\n\n*cooper* COMMAND [OPTION...] [OPERAND...]\n\n# COMMANDS\n\n",
		out);
	for (size_t i = 0; commands[i]; i++) {
		const struct command *c = commands[i];
		/* scdoc takes headings as they are */
		fprintf(out, "## cooper %s %s\n\n", c->name, c->operands);
		man_text(out, c->summary);
		fputs(".\n\n", out);
		if (c->details) {
			man_text(out, c->details);
			fputs("\n\n", out);
		}
		man_options(out, c->options, c->option_count);
	}
	fputs("# OPTIONS OF EVERY COMMAND\n\n", out);
	man_options(out, global_options, global_option_count);
	fputs("# EXIT STATUS\n\n0 done, 1 the work failed, 2 usage, 3 a check found violations.\n", out);
}

static void bash_case(FILE *out, const struct command *c)
{
	fprintf(out, "\t\"%s\") words=\"", c->name);
	for (size_t i = 0; i < c->option_count; i++)
		fprintf(out, "--%s ", c->options[i].name);
	for (size_t i = 0; i < global_option_count; i++)
		if (!is_own_option(c, global_options[i].name))
			fprintf(out, "--%s ", global_options[i].name);
	fputs("\" ;;\n", out);
}

static void completion_bash(FILE *out)
{
	fputs("_cooper() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
	      "\tlocal one=${COMP_WORDS[1]:-} two=\"${COMP_WORDS[1]:-} ${COMP_WORDS[2]:-}\"\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"",
		out);
	for (size_t i = 0; commands[i]; i++) {
		size_t len = strcspn(commands[i]->name, " ");
		if (i && !strncmp(commands[i]->name, commands[i - 1]->name, len + 1))
			continue;
		fprintf(out, "%.*s ", (int)len, commands[i]->name);
	}
	fputs("\"\n\telif [ \"$COMP_CWORD\" -eq 2 ]; then\n\t\tcase \"$one\" in\n", out);
	for (size_t i = 0; commands[i]; i++) {
		const char *space = strchr(commands[i]->name, ' ');
		if (space)
			fprintf(out, "\t\t%.*s) words=\"$words %s\" ;;&\n", (int)(space - commands[i]->name),
				commands[i]->name, space + 1);
	}
	fputs("\t\tesac\n\tfi\n\tcase \"$two\" in\n", out);
	for (size_t i = 0; commands[i]; i++)
		if (strchr(commands[i]->name, ' '))
			bash_case(out, commands[i]);
	fputs("\tesac\n\t[ -n \"$words\" ] || case \"$one\" in\n", out);
	for (size_t i = 0; commands[i]; i++)
		if (!strchr(commands[i]->name, ' '))
			bash_case(out, commands[i]);
	fputs("\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\t[[ $cur == -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n}\n"
	      "complete -o filenames -F _cooper cooper\n",
		out);
}

static void fish_quoted(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

static void completion_fish(FILE *out)
{
	for (size_t i = 0; commands[i]; i++) {
		const struct command *c = commands[i];
		size_t len = strcspn(c->name, " ");
		const char *sub = c->name[len] ? c->name + len + 1 : NULL;
		if (!sub)
			fprintf(out, "complete -c cooper -n __fish_use_subcommand -a %s -d ", c->name);
		else
			fprintf(out, "complete -c cooper -n '__fish_seen_subcommand_from %.*s' -a %s -d ",
				(int)len, c->name, sub);
		fish_quoted(out, c->summary);
		fputc('\n', out);
		for (size_t j = 0; j < c->option_count; j++) {
			fprintf(out, "complete -c cooper -n '__fish_seen_subcommand_from %s' -l %s%s -d ",
				sub ? sub : c->name, c->options[j].name, c->options[j].arg ? " -r" : "");
			fish_quoted(out, c->options[j].help);
			fputc('\n', out);
		}
	}
}

struct err *help_completion(FILE *out, const char *shell)
{
	if (cstr_eq(shell, "bash") || cstr_eq(shell, "zsh")) {
		if (cstr_eq(shell, "zsh"))
			fputs("autoload -U +X bashcompinit && bashcompinit\n", out);
		completion_bash(out);
		return NULL;
	}
	if (cstr_eq(shell, "fish")) {
		completion_fish(out);
		return NULL;
	}
	return err_new(ERR_USAGE, "there is no completion for \"%s\": bash, zsh and fish are offered", shell);
}
