// Command sluice talks to the daemon sluiced. It is also the Docker CLI plugin "docker sluice": install it, or a link
// to it, as docker-sluice in a directory of CLI plugins. The commands are in package command.
package main
