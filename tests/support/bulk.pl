#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# One long TCP transfer, for the tests of established connections. Each end
# says when it is ready, and at last how many bytes it sent or received.
#
#   bulk.pl receive ADDRESS PORT            one connection, until it is closed
#   bulk.pl send    ADDRESS PORT SECONDS
#
# Perl, because every Debian has it (perl-base is essential) and bash cannot
# listen. An alarm ends the receiver after a minute, whatever happens.
use strict;
use warnings;
use Errno;
use IO::Socket::INET;

my ($role, $address, $port, $seconds) = @ARGV;
my $bytes = 0;

$| = 1;
if ($role eq 'receive') {
	my $listener = IO::Socket::INET->new(
		LocalAddr => $address, LocalPort => $port, Listen => 1, ReuseAddr => 1)
		or die "cannot listen: $@";
	alarm 60;
	print "ready\n";
	my $peer = $listener->accept or die "cannot accept: $!";
	while (my $size = $peer->sysread(my $block, 65536) // die "cannot read: $!") {
		$bytes += $size;
	}
} else {
	my $is_over = 0;
	my $peer = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port)
		or die "cannot connect: $@";
	my $block = 'x' x 65536;

	$SIG{ALRM} = sub { $is_over = 1 };
	alarm $seconds;
	print "ready\n";
	while (!$is_over) {
		$bytes += $peer->syswrite($block) // ($!{EINTR} ? 0 : die "cannot write: $!");
	}
	close $peer or die "cannot close: $!";
}
print "$bytes\n";
