/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds.h"

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	(void)args;
	return help_completion(c->out, operands->ptr[0]);
}

const struct command cmd_completion = {
	.name = "completion",
	.summary = "print a completion script for a shell",
	.operands = "bash|zsh|fish",
	.min = 1,
	.max = 1,
	.run = run,
};
