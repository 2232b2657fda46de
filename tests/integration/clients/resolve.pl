# How a program in Perl resolves names: Net::DNS, with the search list.
#
# Each line read is a question, "KIND NAME REVERSE", and answered by one line: "ok" and what was found,
# or "error" and what the library calls it.
use strict;
use warnings;
use Net::DNS;

my %types = (any => [qw(A AAAA)], a => ['A'], aaaa => ['AAAA'], srv => ['SRV'], ptr => ['PTR']);
my $resolver = Net::DNS::Resolver->new;
$| = 1;

while (my $line = <STDIN>) {
    my ($kind, $name) = split ' ', $line;
    if (!$types{$kind}) {
        print "error not a question\n";
        next;
    }
    my @found;
    for my $type (@{ $types{$kind} }) {
        # A reply without records is none for it.
        my $reply = $resolver->search($name, $type) or next;
        for my $record (grep { $_->type eq $type } $reply->answer) {
            push @found, $type eq 'SRV' ? $record->target . ':' . $record->port
                : $type eq 'PTR' ? $record->ptrdname
                : $record->address;
        }
    }
    print @found ? "ok @found\n" : 'error ' . $resolver->errorstring . "\n";
}
