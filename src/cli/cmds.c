/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds.h"

const struct command *const commands[] = {
	&cmd_build,
	&cmd_version,
	&cmd_release,
	&cmd_logs,
	&cmd_cancel,
	&cmd_list,
	&cmd_pin,
	&cmd_affected,
	&cmd_promote,
	&cmd_new,
	&cmd_check,
	&cmd_serve,
	&cmd_runner,
	&cmd_token_create,
	&cmd_token_ls,
	&cmd_token_rm,
	&cmd_session,
	&cmd_image_ls,
	&cmd_image_import,
	&cmd_image_inspect,
	&cmd_image_copy,
	&cmd_image_rm,
	&cmd_login,
	&cmd_logout,
	&cmd_store_du,
	&cmd_store_gc,
	&cmd_store_verify,
	&cmd_doctor,
	&cmd_completion,
	NULL,
};

const struct command *const hidden_commands[] = {
	&cmd_release_worker,
	NULL,
};

#define OPT(field) offsetof(struct global_args, field)

const struct option global_options[] = {
	{"help", 'h', OPTION_FLAG, NULL, OPT(help), "show help"},
	{"version", 0, OPTION_FLAG, NULL, OPT(version), "show the version"},
	{"verbose", 'v', OPTION_FLAG, NULL, OPT(verbose), "show errors with all their causes"},
	{"home", 0, OPTION_TEXT, "DIR", OPT(home), "the store (default: $COOPER_HOME)"},
	{"config", 0, OPTION_TEXT, "FILE", OPT(config), "the machine's settings"},
};
const size_t global_option_count = ARRAY_LEN(global_options);
