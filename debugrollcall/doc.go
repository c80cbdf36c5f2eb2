// Package debugrollcall is one debug page for all clients and servers of a program:
//
//	http.Handle("/debug/rollcall/", &debugrollcall.Page{
//		Clients: map[string]*rpcclient.Client{"orders": orders, "stock": stock},
//		Servers: map[string]*rpcserver.Server{"api": server},
//	})
//
// The page shows the counts of each client and leads to the client's own page, which says
// of each node why it is used or not. It shows the counts, methods, registrations and
// limits of servers. ?format=json gives the same as JSON.
//
// The page needs nothing from elsewhere, runs no script, and changes nothing. It shows
// addresses and error texts: serve it only to operators.
package debugrollcall
