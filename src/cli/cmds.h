/* SPDX-License-Identifier: Apache-2.0 */
/* Every command, one descriptor a file; listed once in cmds.c. */
#pragma once

#include "cli/command.h"

extern const struct command cmd_build;
extern const struct command cmd_version;
extern const struct command cmd_release, cmd_release_worker;
extern const struct command cmd_logs, cmd_cancel;
extern const struct command cmd_list;
extern const struct command cmd_pin;
extern const struct command cmd_affected;
extern const struct command cmd_promote;
extern const struct command cmd_new;
extern const struct command cmd_check;
extern const struct command cmd_serve;
extern const struct command cmd_runner;
extern const struct command cmd_token_create, cmd_token_ls, cmd_token_rm;
extern const struct command cmd_session;
extern const struct command cmd_image_ls, cmd_image_import, cmd_image_inspect, cmd_image_copy, cmd_image_rm;
extern const struct command cmd_login, cmd_logout;
extern const struct command cmd_store_du, cmd_store_gc, cmd_store_verify;
extern const struct command cmd_doctor;
extern const struct command cmd_completion;
