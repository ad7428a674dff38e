/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/release_detach.h"

#include "sys/file.h"
#include "sys/process_detach.h"

struct err *release_detach(struct runs *r, const struct detach_options *opt)
{
	AUTO_STRVEC struct strvec argv = {0};
	AUTO_FD int hold = -1;

	TRY(runs_pass_on(r, &hold));
	strvec_push(&argv, "cooper");
	strvec_push(&argv, "release-worker");
	strvec_pushf(&argv, "--home=%s", opt->home);
	if (opt->config)
		strvec_pushf(&argv, "--config=%s", opt->config);
	strvec_pushf(&argv, "--hold=%d", hold);
	if (opt->force)
		strvec_push(&argv, "--force");
	for (size_t i = 0; i < opt->allow->len; i++)
		strvec_pushf(&argv, "--allow=%s", opt->allow->ptr[i]);
	strvec_push_all(&argv, strvec_list(opt->numbers));
	const struct detach_request rq = {
		.program = "/proc/self/exe", .argv = strvec_list(&argv), .keep_fd = hold};
	return process_detach(&rq, NULL);
}
