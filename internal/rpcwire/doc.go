// Package rpcwire is the wire that both ends of a call share.
package rpcwire
