// The emulator that the tests of github.com/aertje/cloud-tasks-emulator call, as a forwarder to another one.
//
// It stands in place of that project's own sources, so that emulator_test.go runs unmodified. Each server starts
// the command of CLOUD_TASKS_COMMAND at its first call, with the flags of that project: options are set by then.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt"
	"github.com/golang/protobuf/ptypes/empty"
	taskspb "google.golang.org/genproto/googleapis/cloud/tasks/v2"
	"google.golang.org/grpc"
)

// OpenIDConfig is set by the tests before their first call.
var OpenIDConfig struct{ IssuerURL string }

// OpenIDConnectClaims are the claims that the tests read.
type OpenIDConnectClaims struct {
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	jwt.StandardClaims
}

// ServerOptions are the options that the tests set.
type ServerOptions struct{ HardResetOnPurgeQueue bool }

// Server forwards each call.
type Server struct {
	taskspb.UnimplementedCloudTasksServer
	Options ServerOptions
	once    sync.Once
	client  taskspb.CloudTasksClient
}

var running *exec.Cmd

// NewServer ends the command of the last server.
func NewServer() *Server {
	if running != nil {
		running.Process.Kill()
		running.Wait()
		running = nil
	}
	return &Server{}
}

func (s *Server) emulator() taskspb.CloudTasksClient {
	s.once.Do(func() {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		port := free.Addr().(*net.TCPAddr).Port
		free.Close()
		words := strings.Fields(os.Getenv("CLOUD_TASKS_COMMAND"))
		words = append(words, "-host", "127.0.0.1", "-port", fmt.Sprint(port))
		if s.Options.HardResetOnPurgeQueue {
			words = append(words, "-hard-reset-on-purge-queue")
		}
		if OpenIDConfig.IssuerURL != "" {
			words = append(words, "-openid-issuer", OpenIDConfig.IssuerURL)
		}
		running = exec.Command(words[0], words[1:]...)
		running.Stderr = os.Stderr
		running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := running.Start(); err != nil {
			log.Fatal(err)
		}
		ready, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		conn, err := grpc.DialContext(ready, fmt.Sprintf("127.0.0.1:%d", port), grpc.WithInsecure(), grpc.WithBlock())
		if err != nil {
			log.Fatal(err)
		}
		s.client = taskspb.NewCloudTasksClient(conn)
	})
	return s.client
}

func (s *Server) CreateQueue(c context.Context, r *taskspb.CreateQueueRequest) (*taskspb.Queue, error) {
	return s.emulator().CreateQueue(c, r)
}

func (s *Server) GetQueue(c context.Context, r *taskspb.GetQueueRequest) (*taskspb.Queue, error) {
	return s.emulator().GetQueue(c, r)
}

func (s *Server) ListQueues(c context.Context, r *taskspb.ListQueuesRequest) (*taskspb.ListQueuesResponse, error) {
	return s.emulator().ListQueues(c, r)
}

func (s *Server) DeleteQueue(c context.Context, r *taskspb.DeleteQueueRequest) (*empty.Empty, error) {
	return s.emulator().DeleteQueue(c, r)
}

func (s *Server) PurgeQueue(c context.Context, r *taskspb.PurgeQueueRequest) (*taskspb.Queue, error) {
	return s.emulator().PurgeQueue(c, r)
}

func (s *Server) PauseQueue(c context.Context, r *taskspb.PauseQueueRequest) (*taskspb.Queue, error) {
	return s.emulator().PauseQueue(c, r)
}

func (s *Server) ResumeQueue(c context.Context, r *taskspb.ResumeQueueRequest) (*taskspb.Queue, error) {
	return s.emulator().ResumeQueue(c, r)
}

func (s *Server) CreateTask(c context.Context, r *taskspb.CreateTaskRequest) (*taskspb.Task, error) {
	return s.emulator().CreateTask(c, r)
}

func (s *Server) GetTask(c context.Context, r *taskspb.GetTaskRequest) (*taskspb.Task, error) {
	return s.emulator().GetTask(c, r)
}

func (s *Server) ListTasks(c context.Context, r *taskspb.ListTasksRequest) (*taskspb.ListTasksResponse, error) {
	return s.emulator().ListTasks(c, r)
}

func (s *Server) DeleteTask(c context.Context, r *taskspb.DeleteTaskRequest) (*empty.Empty, error) {
	return s.emulator().DeleteTask(c, r)
}

func (s *Server) RunTask(c context.Context, r *taskspb.RunTaskRequest) (*taskspb.Task, error) {
	return s.emulator().RunTask(c, r)
}

func main() {}
