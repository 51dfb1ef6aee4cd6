/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program: hands its arguments to the command line interface. */
#include "cli/command.h"

int main(int argc, char **argv)
{
	return thr_cli_main(argc, argv);
}
