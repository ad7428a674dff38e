/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands as data: parsing, --help, completion and the man page all come from these tables.
 *
 * A command's arguments are a struct of its own; each option names the field it fills by offset:
 *   OPTION_FLAG bool, OPTION_TEXT const char * (borrowed from argv), OPTION_LIST struct strvec, OPTION_NUMBER
 * uint64_t.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST, OPTION_NUMBER };

struct option {
	const char *name; /* long name without dashes */
	char letter;      /* 0: none */
	enum option_kind kind;
	const char *arg; /* "FILE"; NULL for a flag */
	size_t offset;
	const char *help;
};

/* What a command may use of the process; lives as long as main. */
struct cli {
	FILE *out, *err;
	bool verbose; /* -v: errors with their chain */
	struct engine_options engine;
	struct cancel *cancel; /* set by SIGINT and SIGTERM */
	int exit_status;       /* of a program that was run for the user, when there is no error of ours */
};

struct command {
	const char *name;     /* "build", "image ls" */
	const char *summary;  /* one line, lower case, no full stop */
	const char *operands; /* "NAME|DIR", "[NAME]", "SRC DST"; "" for none */
	const char *details;  /* paragraphs for --help and the man page; may be NULL */
	unsigned min, max;    /* operands; max UNLIMITED: any number */
	const struct option *options;
	size_t option_count;
	size_t args_size;
	bool builds; /* unpacks or mounts: a user who is not root enters a user namespace first */
	struct err *(*run)(struct cli *c, void *args, const struct strvec *operands);
};
#define UNLIMITED ((unsigned)-1)

extern const struct command *const commands[];        /* NULL-terminated, in the order of the help */
extern const struct command *const hidden_commands[]; /* likewise; cooper starts them itself */
extern const struct option global_options[];
extern const size_t global_option_count;

struct global_args {
	bool help, version, verbose;
	const char *home, *config;
};

/* The command that the first words of argv name, *words how many; NULL if there is none. */
const struct command *command_find(char *const *argv, size_t *words);

/* Parse argv (after the command's words) into args (zeroed, args_size) and operands. ERR_USAGE with a
 * suggestion. Global options may stand anywhere and go to globals. */
MUST_USE struct err *command_parse(const struct command *c, char *const *argv, struct global_args *globals,
	void *args, struct strvec *operands);
void command_args_fini(const struct command *c, void *args);

void help_overview(FILE *out);
void help_command(FILE *out, const struct command *c);
void help_group(FILE *out, const char *group); /* all commands "group ..." */
/* scdoc text of cooper(1). */
void help_man(FILE *out);
MUST_USE struct err *help_completion(FILE *out, const char *shell);

/* Print an error for a person: message, hint; the chain with places when verbose. */
void report_error(const struct cli *c, const struct err *e);
